# cmake -DFILES=... -DOUTPUT=assets.cpp -DGZIP=gzip -P: writes launcher/web/assets.h's definition, which takes in each file compressed.
# The assembler's .incbin does it: a megabyte as a list of numbers would take the compiler seconds.

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

get_filename_component(folder "${OUTPUT}" DIRECTORY)
set(symbols "")
set(data "")
set(entries "")
set(number 0)
foreach(file ${FILES})
  get_filename_component(name "${file}" NAME)
  get_filename_component(kind "${file}" LAST_EXT)
  string(SUBSTRING "${kind}" 1 -1 kind)
  if(NOT DEFINED type_${kind})
    message(FATAL_ERROR "${file}: which Content-Type has .${kind}? Say so in cmake/EmbedAssets.cmake")
  endif()
  execute_process(COMMAND "${GZIP}" -9nc "${file}" OUTPUT_FILE "${folder}/${name}.gz" COMMAND_ERROR_IS_FATAL ANY)
  file(SHA256 "${file}" hash)
  string(SUBSTRING "${hash}" 0 16 hash)
  set(symbol "terrace_web_asset_${number}")
  string(APPEND symbols "extern const char ${symbol}[], ${symbol}_end[];\n")
  string(APPEND data "${symbol}:\\n.incbin \\\"${folder}/${name}.gz\\\"\\n${symbol}_end:\\n.byte 0\\n")
  string(APPEND entries "      {\"${name}\", \"${type_${kind}}\", \"\\\"${hash}\\\"\", {${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}" "// Written by cmake/EmbedAssets.cmake.
#include \"launcher/web/assets.h\"

#include <cstddef>

asm(\".pushsection .rodata\\n${data}.popsection\\n\");

extern \"C\" {
${symbols}}

namespace terrace {

std::span<const WebAsset> web_assets() {
  static const WebAsset assets[] = {
${entries}  };
  return assets;
}

}  // namespace terrace
")
