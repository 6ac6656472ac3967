# The flags of every target and the globs that make a folder one library: to add code, add a file.

# ASan's checks stand inline only in small functions: in unrolled kernels they were three quarters of the time to compile.
if(TERRACE_SANITIZE MATCHES "address" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(asan_calls -mllvm -asan-instrumentation-with-call-threshold=64)
endif()

function(terrace_flags target)
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}")
  # -ffp-contract=off: gcc would fuse a*b+c as it likes, and equal logits (LAW 4) need one arithmetic on every path.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -ffp-contract=off)
  if(TERRACE_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  target_compile_definitions(${target} PRIVATE TERRACE_VERSION="${PROJECT_VERSION}")
  if(TERRACE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${TERRACE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    if(TERRACE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${target} PRIVATE -Wno-tsan)  # it warns of fences, which it does not see: comm/shared_signal.h orders atomics by one, no data
    endif()
    target_link_options(${target} PRIVATE -fsanitize=${TERRACE_SANITIZE})
    target_compile_options(${target} PRIVATE ${asan_calls})
    if(TERRACE_SANITIZE MATCHES "undefined" AND target MATCHES "kernels|cudasim")  # most of the time to compile SIMD; a stray access is ASan's to find
      target_compile_options(${target} PRIVATE -fno-sanitize=pointer-overflow)
    endif()
  endif()
  if(TERRACE_FUZZ AND target MATCHES "^(terrace_runtime|terrace_launcher|fuzz_)")  # what parses strangers' bytes
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)  # coverage for libFuzzer, main() stays
  endif()
endfunction()

# Headers that most files of the target include, parsed once. ccache keeps such files only with CCACHE_SLOPPINESS=pch_defines,time_macros (scripts/stages.sh),
# and with what these flags ask for.
function(terrace_precompile target)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  target_compile_options(${target} PRIVATE $<IF:$<CXX_COMPILER_ID:GNU>,-fpch-preprocess,SHELL:-Xclang -fno-pch-timestamp>)
endfunction()

# terrace_library(folder libs...): every .cpp below the folder, but for launcher/main.cpp and what belongs to the CUDA module (TerraceCuda.cmake).
function(terrace_library folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${folder}/*.cpp")
  list(REMOVE_ITEM sources "${CMAKE_SOURCE_DIR}/launcher/main.cpp")
  list(FILTER sources EXCLUDE REGEX "kernels/cuda/|comm/nccl")
  add_library(terrace_${folder} STATIC ${sources})
  if(folder MATCHES "kernels|comm")
    set_target_properties(terrace_${folder} PROPERTIES POSITION_INDEPENDENT_CODE ON)  # also part of the CUDA module
  endif()
  terrace_flags(terrace_${folder})
  target_link_libraries(terrace_${folder} PUBLIC ${ARGN})
  # A file that ends in an ISA's name is compiled for that ISA and reached only by run-time dispatch.
  set(isa_avx2 -mavx2 -mfma -mf16c)
  # GCC 12 warns of its own AVX-512 intrinsics, whose undefined vectors are no bug (gcc.gnu.org/PR105593).
  set(isa_avx512 ${isa_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
      $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>)
  set(isa_vnni ${isa_avx512} -mavx512vnni)
  set(isa_bf16 ${isa_vnni} -mavx512bf16)
  # Where GCC 12 merges functions of two instances, it warns that one's object is too small for the other's.
  set(isa_amx ${isa_bf16} -mamx-tile -mamx-int8 -mamx-bf16 $<$<CXX_COMPILER_ID:GNU>:-fno-ipa-icf>)
  foreach(isa avx2 avx512 vnni bf16 amx)
    set(isa_sources ${sources})
    list(FILTER isa_sources INCLUDE REGEX "_${isa}\\.cpp$")
    if(isa_sources)
      set_source_files_properties(${isa_sources} PROPERTIES COMPILE_OPTIONS "${isa_${isa}}")
    endif()
  endforeach()
  # clang 14 takes minutes for a coroutine file with sanitizers, and fails at some: left out, and not optimised (a third of the time). What parses strangers' bytes stands in files of its own.
  if(folder STREQUAL "launcher" AND TERRACE_SANITIZE AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    foreach(file api_service completion_answer connection embedding_answer exchange http_get http_server job_ticket load_generator message_io stream_client)
      set_source_files_properties(launcher/http/${file}.cpp PROPERTIES COMPILE_OPTIONS "-O0;-fno-sanitize=all;-fno-sanitize=fuzzer-no-link" SKIP_PRECOMPILE_HEADERS ON)
    endforeach()
  endif()
  # Checked lane by lane, the reference took ten minutes of the kernel tests; the same templates are checked over the other ISAs' vectors.
  if(folder STREQUAL "kernels" AND TERRACE_SANITIZE MATCHES "undefined")
    set_source_files_properties(kernels/cpu/attention_scalar.cpp PROPERTIES COMPILE_OPTIONS "-O2;-fno-sanitize=undefined")
  endif()
endfunction()
