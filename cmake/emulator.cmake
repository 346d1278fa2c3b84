# The device that needs no GPU: the CUDA sources compiled by the C++ compiler, and the emulator they
# run on. Tests and, in the build tree, programs link the kernels whole, because the library refers
# to their functions weakly.
#
# gradus_emulate(target folder...): a library of the .cu files of the folders, each through a C++
# file that includes it, for one file has one language.
function(gradus_emulate target)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE patterns)
  list(TRANSFORM patterns APPEND /*.cu)
  file(GLOB kernels RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${patterns})
  set(wrappers)
  foreach(kernel IN LISTS kernels)
    set(wrapper ${PROJECT_BINARY_DIR}/emulated/${kernel}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"gradus/@kernel@\"\n" @ONLY)
    list(APPEND wrappers ${wrapper})
  endforeach()
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${wrappers})
  target_compile_options(${target} PRIVATE -O1 -Wno-unknown-pragmas)  # #pragma unroll is nvcc's
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
endfunction()

# The emulator and the kernels on it, gradus_emulated<suffix>, and kernels that only tests have.
# The suffix _race finds races, uninitialised reads and accesses out of bounds: its kernels take
# ThreadSanitizer's hooks, not its runtime.
function(gradus_add_emulator suffix)
  file(GLOB engine CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/*.cpp)
  add_library(gradus_emulator${suffix} STATIC EXCLUDE_FROM_ALL ${engine})
  target_link_libraries(gradus_emulator${suffix}
                        PUBLIC gradus_conventions Threads::Threads ${CMAKE_DL_LIBS})
  gradus_emulate(gradus_emulated${suffix} kernels kernels/cuda)
  set(libraries gradus_emulated${suffix})
  if(GRADUS_BUILD_TESTS)
    gradus_emulate(gradus_emulated_tests${suffix} tests/cuda)
    list(APPEND libraries gradus_emulated_tests${suffix})
  endif()
  foreach(library IN LISTS libraries)
    target_link_libraries(${library} PUBLIC gradus_emulator${suffix})
    if(suffix STREQUAL _race)
      target_compile_options(${library} PRIVATE -g1 -fsanitize=thread)
    endif()
  endforeach()
  if(suffix STREQUAL _race)
    target_compile_definitions(gradus_emulator_race PRIVATE GRADUS_EMULATOR_RACE)
  endif()
endfunction()

gradus_add_emulator("")
# By g++: under the hooks that clang 14 calls, bytes that were stored count as never written.
if(GRADUS_BUILD_TESTS AND NOT GRADUS_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  gradus_add_emulator(_race)
endif()
