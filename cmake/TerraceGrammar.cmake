# xgrammar, which holds answers to a form: scripts/setup.sh has fetched and built it (cmake/xgrammar). Without it such requests are refused.

set(xgrammar_folder "${TERRACE_CACHE_FOLDER}/xgrammar")
set(xgrammar_library "${xgrammar_folder}/build/libxgrammar.a")
if(EXISTS "${xgrammar_library}" AND NOT TERRACE_SANITIZE STREQUAL "thread")
  add_library(xgrammar STATIC IMPORTED GLOBAL)
  set_target_properties(xgrammar PROPERTIES IMPORTED_LOCATION "${xgrammar_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${xgrammar_folder}/include;${xgrammar_folder}/3rdparty/dlpack/include")
  target_link_libraries(terrace_launcher PUBLIC xgrammar)
  set_source_files_properties(launcher/grammar/no_xgrammar.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  if(TERRACE_SANITIZE STREQUAL "thread")
    message(STATUS "xgrammar: left out, since it is not compiled for that and what is tested for data races needs no grammar")
  else()
    message(STATUS "xgrammar was not found (scripts/setup.sh fetches and builds it): requests for answers of a given form will be refused")
  endif()
  set_source_files_properties(launcher/grammar/xgrammar_compiler.cpp launcher/grammar/xgrammar_log.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
