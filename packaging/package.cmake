# The Debian package: cmake --build --preset release --target package
# What only a package has (/etc, copyright, changelog, compressed pages) is put in by stage.cmake.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME imprint-sync)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/stage.cmake)
set(CPACK_IMPRINT_SOURCE_DIR ${PROJECT_SOURCE_DIR}) # for stage.cmake

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
# Nobody's address (RFC 2606): who gives the package to others says who answers for it.
set(CPACK_PACKAGE_CONTACT "imprint-sync authors <imprint-sync@lists.example.com>"
    CACHE STRING "Maintainer of the package that is built here")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "send customers that change in a CRM's PostgreSQL to Imprint
For companies that offer a card with Imprint: a daemon that reads changed
customers from an outbox in the CRM's PostgreSQL, maps their columns to the
fields of Imprint's API, and sends each committed change, in order and within
the agreed rate.")
# Libraries by what the program links; time zones it reads itself.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS tzdata)
# Peer authentication of the unit's dynamic user asks libnss-systemd for its name.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, libnss-systemd")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS postgresql-client)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
foreach(file IN ITEMS conffiles postinst prerm postrm)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/${file})
endforeach()
include(CPack)
