# bench/*.cpp become one Google Benchmark program.
file(GLOB benchmarks CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.cpp)
if(benchmarks)
  find_package(benchmark REQUIRED)
  find_package(CBLAS REQUIRED)
  add_executable(gradus_bench ${benchmarks})
  target_link_libraries(gradus_bench PRIVATE gradus_internal benchmark::benchmark CBLAS::CBLAS)
  if(NOT EXISTS ${PROJECT_SOURCE_DIR}/bench/main.cpp)
    target_link_libraries(gradus_bench PRIVATE benchmark::benchmark_main)
  endif()

  # What is measured beside other libraries. OpenBLAS has a process of its own, so that its threads
  # and its start do not weigh on ours.
  set(peers ${PROJECT_SOURCE_DIR}/bench/peers)
  add_library(peers_work OBJECT ${peers}/operations.cpp ${peers}/training.cpp)
  target_link_libraries(peers_work PUBLIC gradus_internal)
  add_executable(gradus_peers ${peers}/gradus.cpp ${PROJECT_SOURCE_DIR}/bench/limits.cpp)
  target_link_libraries(gradus_peers PRIVATE peers_work benchmark::benchmark)
  add_executable(openblas_peer ${peers}/openblas.cpp)
  target_link_libraries(openblas_peer PRIVATE peers_work CBLAS::CBLAS)
  # Our side of bench/gpu/compare.py, which PyTorch's process loads.
  if(TARGET gradus_cuda)
    set_target_properties(peers_work PROPERTIES POSITION_INDEPENDENT_CODE ON)
    add_library(gradus_gpu_bench MODULE ${PROJECT_SOURCE_DIR}/bench/gpu/gradus.cpp)
    set_target_properties(gradus_gpu_bench PROPERTIES LINKER_LANGUAGE CXX)
    target_link_libraries(gradus_gpu_bench PRIVATE peers_work gradus_internal)
    target_link_options(gradus_gpu_bench PRIVATE LINKER:--exclude-libs,ALL)
  endif()
  if(GRADUS_BUILD_TESTS)
    add_test(NAME peers COMMAND ${PROJECT_SOURCE_DIR}/tests/peers_test.sh
                                $<TARGET_FILE:gradus_peers>)
    set_tests_properties(peers PROPERTIES LABELS house TIMEOUT 3000)
  endif()
endif()
