# Every examples/<name>.cpp is a program, gradus-<name>, over the helpers in examples/common and,
# where there are some, its own in examples/<name>.
file(GLOB common CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/common/*.cpp)
file(GLOB programs CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.cpp)
list(TRANSFORM programs REPLACE ".*/(.*)\\.cpp" "\\1")

if(common)
  find_package(CLI11 REQUIRED)
  find_package(PNG REQUIRED)
  # Takes the library's headers only: a program brings the library, tests its hidden objects too.
  add_library(gradus_examples STATIC ${common})
  target_include_directories(gradus_examples PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(gradus_examples PUBLIC gradus_conventions nlohmann_json::nlohmann_json
                        PRIVATE CLI11::CLI11 PNG::PNG ZLIB::ZLIB)
endif()

foreach(name IN LISTS programs)
  file(GLOB parts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/${name}/*.cpp)
  if(parts)
    add_library(gradus_${name} STATIC ${parts})
    target_link_libraries(gradus_${name} PUBLIC gradus_examples)
  endif()
  add_executable(gradus-${name} examples/${name}.cpp)
  target_link_libraries(gradus-${name} PRIVATE $<TARGET_NAME_IF_EXISTS:gradus_${name}>
                        gradus_examples gradus gradus_conventions)
  if(GRADUS_BUILD_EMULATOR)
    target_link_libraries(gradus-${name} PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,gradus_emulated>")
  endif()
  set_target_properties(gradus-${name} PROPERTIES
    INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  if(GRADUS_INSTALL)
    install(TARGETS gradus-${name})
  endif()
endforeach()
