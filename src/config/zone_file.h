// The system's time zone database.
#ifndef CONFIG_ZONE_FILE_H
#define CONFIG_ZONE_FILE_H

#include "base/str.h"
#include "domain/zone.h"

#define ZONE_FILE_FOLDER "/usr/share/zoneinfo/"

// The zone of a name such as America/New_York, or NULL when the folder has no such file. No name
// leads out of the folder. The caller owns it (zone_destroy).
struct zone *zone_file_read(struct str name);

#endif
