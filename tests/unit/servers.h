// Real servers for unit tests: a private PostgreSQL for a test program, and for each of its tests a
// database of its own and a sandbox of its own (tests/sandbox). They listen on the loopback and in
// a private folder, end with the program whatever happens to it, and leave nothing behind.
//
//     int main(void) { ... return servers_run(suite); }      with servers_begin, servers_end as the
//                                                            checked fixture of its test cases
//
// Functions here fail the test when they cannot do what they say.
#ifndef UNIT_SERVERS_H
#define UNIT_SERVERS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// As suite_run, around a PostgreSQL with a template database that has the schema, migrated by the
// program itself, the demo's CRM (tests/demo.d) with its watches, and the role sync_daemon.
int servers_run(Suite *suite);
// The same for tests that need no database.
int servers_run_sandbox(Suite *suite);

// A folder. Database (by that template) and sandbox start when they are first asked for.
void servers_begin(void);
void servers_end(void);

const char *servers_folder(void);  // of this test
const char *servers_cluster(void); // with the socket, and "password" of the superuser over TCP
int servers_port(void);
const char *servers_database(void);
// For the role that the daemon has; borrowed until the test ends.
const char *servers_dsn(void);
const char *servers_super_dsn(void);

// A path in the test's folder; valid until the fourth call from now.
const char *servers_path(const char *name);
void servers_write(const char *name, const char *text);
// Of a file in the test's folder; "" when there is none; the caller frees it.
char *servers_read(const char *name);

// Returns once condition(ctx) is true; fails after a minute, naming `what`.
void servers_wait(bool (*condition)(void *ctx), void *ctx, const char *what);

// ---- the database, as superuser ----------------------------------------------------------------

void sql_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The first value of the first row; "" for NULL or no row; valid until the eighth call from now.
const char *sql_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t sql_int64(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Until this yields true.
void sql_wait(const char *format, ...) __attribute__((format(printf, 1, 2)));
// An application row, or a thin one without a payload; its id.
int64_t sql_add(const char *customer, const char *payload);
// People 1 to `count` of the CRM, all with an Imprint id; nothing of it is left in the outbox.
void sql_people(int count);

// ---- the sandbox -------------------------------------------------------------------------------

// With these further options, and NULL; the journal has the bodies.
#define sandbox_start(...) sandbox_start_words((const char *const[]){__VA_ARGS__})
void sandbox_start_words(const char *const *options);
void sandbox_start_tls(void); // with a certificate of the authority in the test's ca.pem
void sandbox_stop(void);
const char *sandbox_url(void); // "http://127.0.0.1:1234", or https
#define SANDBOX_KEY "unit-key-8d1f03c6"
// From now on these, a JSON array of SPECs.
void sandbox_faults(const char *specs);
// The whole answer to a control request; the caller frees it.
char *sandbox_control(const char *method, const char *path, const char *body);
// Requests of the journal, all or of a customer, once none is in progress.
int64_t sandbox_requests(const char *customer);
void sandbox_wait_requests(const char *customer, int64_t count); // so many have ended
void sandbox_wait_busy(void);                                    // one is in progress
// Whether this stands in what the customer has become; false without a customer.
bool sandbox_has(const char *customer, const char *text);

#endif
