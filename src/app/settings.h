// From the configuration to what the parts are made with.
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include "config/config.h"
#include "io/outbox.h"
#include "io/pgconn.h"
#include "io/sender.h"

// Loads and checks the file; NULL when it is wrong: every reason has then been written to standard
// error, a line each.
struct config *settings_load(const char *path);

// All borrow from the configuration.
struct pgconn_options settings_database(const struct config *config);
struct sender_options settings_sender(const struct config *config);
struct outbox_options settings_outbox(const struct config *config, const char *instance);

// This process's name among all instances: host, process id and something by chance.
enum { SETTINGS_INSTANCE_SIZE = 96 };
void settings_instance(char name[SETTINGS_INSTANCE_SIZE]);

#endif
