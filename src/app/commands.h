// The commands of the program: one row each, with the options they take and their help.
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

// Finds the command in the arguments and runs it; returns the process's exit code.
int commands_run(int argc, char **argv);

#endif
