# The device that needs no GPU: the CUDA sources compiled by the C++ compiler, and the emulator they
# run on. Two libraries, that tests and, in the build tree, programs link whole, because the library
# refers to their functions weakly.
set(GRADUS_EMULATOR_CHECK "" CACHE STRING
    "race: find races, uninitialised reads and accesses out of bounds in CUDA kernels; or empty")
set_property(CACHE GRADUS_EMULATOR_CHECK PROPERTY STRINGS "" race)
if(NOT GRADUS_EMULATOR_CHECK MATCHES "^(race)?$")
  message(FATAL_ERROR "GRADUS_EMULATOR_CHECK is empty or race, not ${GRADUS_EMULATOR_CHECK}")
elseif(GRADUS_EMULATOR_CHECK STREQUAL race AND GRADUS_SANITIZE)
  message(FATAL_ERROR "GRADUS_EMULATOR_CHECK=race does not go with GRADUS_SANITIZE")
endif()

# gradus_emulate(target folder...): adds the .cu files of the folders to the target, each through a
# C++ file that includes it, for one file has one language.
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
  target_sources(${target} PRIVATE ${wrappers})
  target_link_libraries(${target} PUBLIC gradus_conventions)
  # `#pragma unroll` is for nvcc. The race build takes the sanitizer's hooks, not its runtime.
  set(flags -O2 -Wno-unknown-pragmas)
  if(GRADUS_SANITIZE)
    set(flags -Wno-unknown-pragmas)
  elseif(GRADUS_EMULATOR_CHECK STREQUAL race)
    list(APPEND flags -g1 -fsanitize=thread)
  endif()
  set_source_files_properties(${wrappers} PROPERTIES COMPILE_OPTIONS "${flags}")
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
endfunction()

file(GLOB engine CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/*.cpp)
add_library(gradus_emulated STATIC EXCLUDE_FROM_ALL ${engine})
gradus_emulate(gradus_emulated kernels kernels/cuda)
target_link_libraries(gradus_emulated PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
if(GRADUS_EMULATOR_CHECK STREQUAL race)
  target_compile_definitions(gradus_emulated PRIVATE GRADUS_EMULATOR_RACE)
endif()

# Kernels that only tests have.
if(GRADUS_BUILD_TESTS)
  add_library(gradus_emulated_tests STATIC EXCLUDE_FROM_ALL)
  gradus_emulate(gradus_emulated_tests tests/cuda)
  set_target_properties(gradus_emulated_tests PROPERTIES LINKER_LANGUAGE CXX)
endif()
