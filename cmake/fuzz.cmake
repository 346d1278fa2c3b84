# libFuzzer targets, gradus_fuzz_<reader>, and the program that writes seeds for them. Only the sources
# that the readers need are compiled, so that this takes a minute.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
  message(FATAL_ERROR "GRADUS_BUILD_FUZZ needs clang, for libFuzzer")
endif()
set(fuzz_dir ${PROJECT_SOURCE_DIR}/tests/fuzz)
set(readers safetensors npy npz idx)
set(sanitizers address,undefined)

file(GLOB fuzzed CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tensor/*.cpp)
list(FILTER fuzzed EXCLUDE REGEX "/(print|random)\\.cpp$")
add_library(gradus_fuzzed STATIC EXCLUDE_FROM_ALL ${fuzzed}
  kernels/convert.cpp kernels/copy.cpp kernels/index.cpp kernels/cpu/isa.cpp kernels/cpu/pool.cpp
  examples/common/file.cpp examples/common/idx.cpp tests/fuzz/no_graph.cpp)
target_link_libraries(gradus_fuzzed PUBLIC gradus_conventions ${libraries}
                                           nlohmann_json::nlohmann_json)
target_include_directories(gradus_fuzzed PUBLIC ${PROJECT_SOURCE_DIR})
target_compile_options(gradus_fuzzed PUBLIC
  -fsanitize=fuzzer-no-link,${sanitizers} -fno-sanitize-recover=all
  -fno-sanitize=null,alignment,object-size)
target_link_options(gradus_fuzzed PUBLIC -fsanitize=${sanitizers})

add_executable(gradus_fuzz_seeds EXCLUDE_FROM_ALL ${fuzz_dir}/seeds.cpp)
target_link_libraries(gradus_fuzz_seeds PRIVATE gradus_fuzzed)
add_custom_target(gradus_fuzz DEPENDS gradus_fuzz_seeds)
foreach(reader IN LISTS readers)
  add_executable(gradus_fuzz_${reader} EXCLUDE_FROM_ALL ${fuzz_dir}/${reader}.cpp)
  target_link_libraries(gradus_fuzz_${reader} PRIVATE gradus_fuzzed)
  target_link_options(gradus_fuzz_${reader} PRIVATE -fsanitize=fuzzer)
  add_dependencies(gradus_fuzz gradus_fuzz_${reader})
endforeach()
