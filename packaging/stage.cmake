# Run by CPack over the installed tree before it is packed: what only the package has.
set(source ${CPACK_IMPRINT_SOURCE_DIR})
set(root ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
set(doc ${root}/usr/share/doc/imprint-sync)
set(readable OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)

function(copy from to)
  file(COPY ${from} DESTINATION ${to} FILE_PERMISSIONS ${readable})
endfunction()

function(compress)
  execute_process(COMMAND gzip -9nf ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# The build's own name another prefix.
include(${source}/systemd/units.cmake)
imprint_units(/usr/bin ${root}/usr/lib/systemd/system)
file(GLOB units ${root}/usr/lib/systemd/system/*)
file(CHMOD ${units} PERMISSIONS ${readable})

# Beside the samples, which name the schemas in their first line; no configuration, so only links.
copy("${source}/config/imprint-sync.yaml;${source}/config/mapping.yaml" ${root}/etc/imprint-sync)
foreach(schema IN ITEMS imprint-sync.schema.json mapping.schema.json)
  file(CREATE_LINK /usr/share/imprint-sync/${schema} ${root}/etc/imprint-sync/${schema} SYMBOLIC)
endforeach()

copy("${source}/README.md;${source}/packaging/copyright;${source}/packaging/changelog" ${doc})
file(GLOB pages ${root}/usr/share/man/man*/*.[0-9])
compress(${pages} ${doc}/changelog)

# Whatever the umask of whoever builds it.
execute_process(COMMAND find ${root} -type d -exec chmod 755 {} + COMMAND_ERROR_IS_FATAL ANY)
