# xgrammar's C++ core as a library, from the sources that scripts/setup.sh put into the cache folder. Its own CMake file asks for -Werror, LTO and Python.

set(xgrammar_folder "${TERRACE_CACHE_FOLDER}/xgrammar")
if(EXISTS "${xgrammar_folder}/include/xgrammar/xgrammar.h")
  file(GLOB_RECURSE xgrammar_sources "${xgrammar_folder}/cpp/*.cc")
  list(FILTER xgrammar_sources EXCLUDE REGEX "/cpp/tvm_ffi/")
  # Corrected in 0.2.9: strings of bounded length may hold control characters, which is no JSON (RFC 8259, section 7).
  set(converter "${CMAKE_BINARY_DIR}/xgrammar/json_schema_converter.cc")
  file(READ "${xgrammar_folder}/cpp/json_schema_converter.cc" source)
  string(REPLACE [[{'\r', '\r'}, {'\n', '\n'}}, true);]] "{0, 0x1f}}, true);" corrected "${source}")
  if(corrected STREQUAL source)
    message(FATAL_ERROR "${xgrammar_folder} is another xgrammar than scripts/setup.sh fetches: run it, or remove that folder to build without")
  endif()
  file(CONFIGURE OUTPUT "${converter}" CONTENT "${corrected}" @ONLY)
  list(FILTER xgrammar_sources EXCLUDE REGEX "/json_schema_converter.cc$")
  add_library(xgrammar STATIC EXCLUDE_FROM_ALL ${xgrammar_sources} "${converter}")
  target_include_directories(xgrammar SYSTEM PUBLIC "${xgrammar_folder}/include" "${xgrammar_folder}/3rdparty/dlpack/include"
    PRIVATE "${xgrammar_folder}/3rdparty/picojson" "${xgrammar_folder}/cpp")
  # Its messages are ours to word (launcher/grammar/xgrammar_log.cpp). -O1: two thirds of -O3's time to compile, and masks are as fast.
  target_compile_definitions(xgrammar PRIVATE XGRAMMAR_LOG_CUSTOMIZE=1 XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0)
  target_compile_options(xgrammar PRIVATE -w -O1)
  target_link_libraries(terrace_launcher PUBLIC xgrammar)
  set_source_files_properties(launcher/grammar/no_xgrammar.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  message(STATUS "xgrammar was not found (scripts/setup.sh fetches it): requests for answers of a given form will be refused")
  set_source_files_properties(launcher/grammar/xgrammar_compiler.cpp launcher/grammar/xgrammar_log.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
