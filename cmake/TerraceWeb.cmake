# The web page in the executable: its own files and Debian's JavaScript libraries, gzip-compressed, each named as launcher/web/assets.h has it.

find_program(TERRACE_GZIP gzip REQUIRED)
file(GLOB web_files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/launcher/web/assets/*")

function(terrace_web_library name file package)
  find_file(TERRACE_WEB_${name} "${file}" PATHS /usr/share/javascript /usr/share/nodejs NO_DEFAULT_PATH)
  if(NOT TERRACE_WEB_${name})
    message(FATAL_ERROR "The web page of `terrace serve` needs ${file} of Debian's package ${package}: apt-get install ${package}, or run scripts/setup.sh; "
                        "from elsewhere: cmake -DTERRACE_WEB_${name}=FILE")
  endif()
  # Under a name of its own, whatever the packages call it.
  configure_file("${TERRACE_WEB_${name}}" "${CMAKE_BINARY_DIR}/web/${name}.js" COPYONLY)
  set(web_files ${web_files} "${CMAKE_BINARY_DIR}/web/${name}.js" PARENT_SCOPE)
endfunction()
terrace_web_library(dompurify dompurify/dist/purify.min.js node-dompurify)
terrace_web_library(marked marked/marked.min.js libjs-marked)
terrace_web_library(highlight highlight.js/highlight.min.js libjs-highlight.js)
terrace_web_library(chart chart.js/chart.min.js libjs-chart.js)

set(web_source "${CMAKE_BINARY_DIR}/web/assets.cpp")
add_custom_command(OUTPUT "${web_source}"
  COMMAND "${CMAKE_COMMAND}" "-DFILES=${web_files}" "-DOUTPUT=${web_source}" "-DGZIP=${TERRACE_GZIP}" -P "${CMAKE_SOURCE_DIR}/cmake/EmbedAssets.cmake"
  DEPENDS ${web_files} "${CMAKE_SOURCE_DIR}/cmake/EmbedAssets.cmake" COMMENT "Embedding the web page" VERBATIM)
target_sources(terrace_launcher PRIVATE "${web_source}")
