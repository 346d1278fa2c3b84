# Installs the library so that it works from wherever its prefix is moved to.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gradus)

install(TARGETS gradus EXPORT gradusTargets)
install(EXPORT gradusTargets NAMESPACE gradus:: DESTINATION ${package_dir})
install(DIRECTORY ${layers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradus
        FILES_MATCHING PATTERN *.h PATTERN *.inc PATTERN *.cuh
        PATTERN emulator EXCLUDE)
install(FILES gradus.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradus)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(cmake/gradusConfig.cmake.in gradusConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(gradusConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradusConfig.cmake ${PROJECT_BINARY_DIR}/gradusConfigVersion.cmake
        DESTINATION ${package_dir})

# A shared library brings its own dependencies; a static one needs them from its user.
if(BUILD_SHARED_LIBS)
  set(requires_private "")
  set(libs_private "")
else()
  set(requires_private "zlib")
  set(libs_private "-ldl -pthread -lstdc++ -lm")
  if(TARGET gradus_cuda)
    string(PREPEND libs_private "-L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -ldl -lrt ")
  endif()
endif()
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/gradus.pc.in gradus.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/gradus.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
