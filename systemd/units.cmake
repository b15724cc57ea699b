# The units, made of the files in this folder for a program in `bindir`, so that what is said of one
# holds for all: imprint-sync@.service is imprint-sync.service for several on one machine, and "Who it
# is, and what it may" is in the backfill's unit too.
function(imprint_units bindir out)
  set(source ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
  set(head "# ---- Who it is, and what it may ----\n")

  file(READ ${source}/imprint-sync.service service)
  string(FIND "${service}" "${head}" begin)
  string(FIND "${service}" "[Install]" end)
  if(begin EQUAL -1 OR end LESS begin)
    message(FATAL_ERROR "systemd/imprint-sync.service: no \"${head}\" before [Install]")
  endif()
  math(EXPR length "${end} - ${begin}")
  string(SUBSTRING "${service}" ${begin} ${length} rights)

  set(instance "${service}")
  string(REPLACE "`systemctl edit imprint-sync`" "`systemctl edit imprint-sync@NAME`" instance "${instance}")
  string(REGEX REPLACE "Description=imprint-sync," "Description=imprint-sync (%i)," instance "${instance}")

  file(READ ${source}/imprint-sync-backfill@.service.in backfill)
  string(REPLACE "@RIGHTS@\n" "${rights}" backfill "${backfill}")

  foreach(unit IN ITEMS "imprint-sync.service service" "imprint-sync@.service instance"
                        "imprint-sync-backfill@.service backfill")
    separate_arguments(unit)
    list(GET unit 0 name)
    list(GET unit 1 text)
    string(REPLACE "/usr/bin/imprint-sync" "${bindir}/imprint-sync" text "${${text}}")
    file(WRITE ${out}/${name} "${text}")
  endforeach()
endfunction()
