# One GoogleTest program, one ctest entry for each of its suites, and the scripts.
file(GLOB unit_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*_test.cpp)
if(unit_tests)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  file(GLOB test_main CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  if(NOT GRADUS_BUILD_EMULATOR)
    list(FILTER unit_tests EXCLUDE REGEX /cuda_|/device|/emulator_|/graphed_)
  endif()
  add_library(gradus_test_objects OBJECT ${unit_tests} ${test_main})
  # The system's headers alone: a precompiled header of the library's own, which the compiler's cache
  # may bring from another clone, would declare everything a second time.
  target_precompile_headers(gradus_test_objects PRIVATE
    <gtest/gtest.h> <algorithm> <cmath> <filesystem> <fstream> <functional> <map> <memory> <numeric>
    <optional> <random> <set> <span> <sstream> <string> <thread> <utility> <vector>)
  # One file alone is told a path: the objects of the others serve in every clone.
  set_source_files_properties(${PROJECT_SOURCE_DIR}/tests/ops_test.cpp PROPERTIES
    COMPILE_DEFINITIONS "GRADUS_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"")
  # The tests compile for speed of compilation; GCC's guesses about lengths and first values are wrong
  # for inlined and instrumented code.
  target_compile_options(gradus_test_objects PRIVATE
    -O1 "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-stringop-overflow>")
  set(test_libraries $<TARGET_NAME_IF_EXISTS:gradus_exam> $<TARGET_NAME_IF_EXISTS:gradus_examples>
                     gradus_internal
                     nlohmann_json::nlohmann_json rapidcheck ZLIB::ZLIB GTest::gtest)
  target_link_libraries(gradus_test_objects PRIVATE ${test_libraries})
  # The calls that tests let fail.
  set(wrapped aligned_alloc mmap openat write fsync renameat renameat2)
  list(TRANSFORM wrapped PREPEND LINKER:--wrap=)

  # gradus_test_program(name suffix): all tests, on the emulator of that suffix.
  function(gradus_test_program name suffix)
    add_executable(${name} $<TARGET_OBJECTS:gradus_test_objects>)
    if(GRADUS_BUILD_EMULATOR)
      target_link_libraries(${name} PRIVATE
        "$<LINK_LIBRARY:WHOLE_ARCHIVE,gradus_emulated${suffix},gradus_emulated_tests${suffix}>")
    endif()
    target_link_libraries(${name} PRIVATE ${test_libraries})
    target_link_options(${name} PRIVATE ${wrapped})
  endfunction()
  gradus_test_program(gradus_tests "")
  if(TARGET gradus_emulated_race)
    gradus_test_program(gradus_race_tests _race)
    add_test(NAME races COMMAND gradus_race_tests --gtest_brief=1
             --gtest_filter=Cuda*:Device*:Emulat*:Graphed*:Linalg*:*Conformance*:Table.Values)
    set_tests_properties(races PROPERTIES LABELS house TIMEOUT 1800
                         ENVIRONMENT GRADUS_TEST_DEVICES=emulated)
  endif()

  # The suites are asked for when ctest starts.
  set(limit 900)
  if(GRADUS_SANITIZE STREQUAL thread)
    set(limit 7200)  # ten times as slow
  endif()
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/suites.cmake CONTENT
    "set(program \"$<TARGET_FILE:gradus_tests>\")\nset(limit ${limit})\ninclude(\"${PROJECT_SOURCE_DIR}/cmake/suites.cmake\")\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${PROJECT_BINARY_DIR}/suites.cmake)
endif()

# The house: scripts over the sources and over what was built. Once is enough, without sanitizers.
if(NOT GRADUS_SANITIZE)
  set(tests_dir ${PROJECT_SOURCE_DIR}/tests)
  add_test(NAME layering COMMAND ${tests_dir}/layering_test.sh ${PROJECT_SOURCE_DIR})
  add_test(NAME front_door COMMAND ${tests_dir}/front_door_test.sh ${PROJECT_SOURCE_DIR})
  add_test(NAME symbols COMMAND ${tests_dir}/symbols_test.sh $<TARGET_FILE:gradus>
                                $<TARGET_OBJECTS:gradus_objects>
           COMMAND_EXPAND_LISTS)
  add_test(NAME gpu_script COMMAND ${tests_dir}/gpu_script_test.sh ${PROJECT_SOURCE_DIR})
  set(house layering front_door symbols gpu_script)
  if(BUILD_SHARED_LIBS)
    add_test(NAME readme COMMAND ${tests_dir}/readme_test.sh ${PROJECT_SOURCE_DIR}
                                 $<TARGET_FILE_DIR:gradus> ${include_dir} ${CMAKE_CXX_COMPILER})
    add_test(NAME install COMMAND ${tests_dir}/install/install_test.sh ${PROJECT_SOURCE_DIR}
                                  ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
    set_tests_properties(install PROPERTIES ENVIRONMENT "CCACHE=$<$<BOOL:${CCACHE}>:${CCACHE}>")
    list(APPEND house readme install)
  endif()
  if(GRADUS_BUILD_EMULATOR)
    add_test(NAME twins COMMAND ${tests_dir}/twins_test.sh $<TARGET_FILE:gradus_internal>
                                $<TARGET_FILE:gradus_emulated>)
    list(APPEND house twins)
  endif()
  find_program(DOXYGEN doxygen)
  if(DOXYGEN)
    set(output "OUTPUT_DIRECTORY = ${PROJECT_BINARY_DIR}")
    add_test(NAME reference WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
             COMMAND sh -c "{ cat docs/Doxyfile && echo '${output}'; } | '${DOXYGEN}' -")
    list(APPEND house reference)
  endif()
  set_tests_properties(${house} PROPERTIES LABELS house TIMEOUT 3000)
endif()

# Every program answers --help; the trainers train for a few steps, under sanitizers too.
foreach(name IN LISTS programs)
  set(program $<TARGET_FILE:gradus-${name}>)
  add_test(NAME program.${name}.help COMMAND ${program} --help)
  if(NOT name STREQUAL exam)
    set(folder ${PROJECT_BINARY_DIR}/smoke/${name})
    add_test(NAME program.${name}.clean COMMAND ${CMAKE_COMMAND} -E rm -rf ${folder}/runs)
    file(MAKE_DIRECTORY ${folder})
    add_test(NAME program.${name}.train COMMAND ${program} --data synthetic --max-steps 5
             WORKING_DIRECTORY ${folder})
    set_tests_properties(program.${name}.clean PROPERTIES FIXTURES_SETUP ${name}_folder)
    set_tests_properties(program.${name}.train PROPERTIES FIXTURES_REQUIRED ${name}_folder)
  endif()
  set(script ${PROJECT_SOURCE_DIR}/tests/${name}_test.sh)
  if(EXISTS ${script} AND NOT GRADUS_SANITIZE)
    add_test(NAME program.${name}.outside COMMAND ${script} ${program})
    set_tests_properties(program.${name}.outside PROPERTIES LABELS house TIMEOUT 3000)
  endif()
endforeach()

# The trainer without memory, with a failing disk, and killed.
if(TARGET gradus-vae AND NOT GRADUS_SANITIZE)
  set(tests_dir ${PROJECT_SOURCE_DIR}/tests)
  add_test(NAME program.vae.faults COMMAND ${tests_dir}/faults_test.sh $<TARGET_FILE:gradus-vae>
                                           ${CMAKE_CXX_COMPILER})
  add_test(NAME program.vae.killed COMMAND ${tests_dir}/kill_test.sh $<TARGET_FILE:gradus-vae>)
  set_tests_properties(program.vae.faults program.vae.killed PROPERTIES LABELS "house;slow"
                                                                        TIMEOUT 3000)
endif()
