# The CUDA sources, compiled by nvcc into gradus::cuda. A kernel that spills registers, or of which
# the assembler warns otherwise, does not compile.
include(CheckLanguage)
set(GRADUS_CUDA AUTO CACHE STRING "Kernels for NVIDIA's devices: ON, OFF, or AUTO: where there is one")
if(GRADUS_CUDA STREQUAL AUTO)
  set(with_cuda OFF)
  if(EXISTS /dev/nvidiactl)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      set(with_cuda ON)
    endif()
  endif()
else()
  set(with_cuda ${GRADUS_CUDA})
endif()
if(NOT with_cuda)
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real)
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
# CMake 3.25.1 does not know that nvcc takes C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()

file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu
                                         ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
add_library(gradus_cuda OBJECT ${cuda_sources})
set(cuda_targets gradus_cuda)
if(GRADUS_BUILD_TESTS) # kernels of the tests that a device runs, too
  add_library(gradus_cuda_tests OBJECT ${PROJECT_SOURCE_DIR}/tests/cuda/conformance.cu)
  list(APPEND cuda_targets gradus_cuda_tests)
endif()
foreach(target IN LISTS cuda_targets)
  set_target_properties(${target} PROPERTIES
    CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON POSITION_INDEPENDENT_CODE ON
    CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_include_directories(${target} PRIVATE ${include_dir})
  target_compile_definitions(${target} PRIVATE GRADUS_HAS_CUDA)
  target_compile_options(${target} PRIVATE
    --fmad=false --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra,-ffp-contract=off
    --Werror=all-warnings "SHELL:-Xptxas -v,--warn-on-spills,--warning-as-error")
endforeach()
target_compile_definitions(gradus_objects PRIVATE GRADUS_HAS_CUDA)
list(APPEND libraries CUDA::cudart_static)
