package vassal

// Daemon is the kind of vassal that is a command.
const Daemon = "daemon"

// Between uWSGI and what it runs, or between the emperor and a vassal, stands a
// shell: the keeper. It writes down which process is the instance's main one,
// and how that ended, which neither uWSGI nor the emperor tells. Its standard
// input is the file that it writes to.
//
// The scripts are constant. What they run comes in the environment or as
// arguments and is not read again by a shell.

const (
	KeeperVariable  = "HOP3_KEEPER"  // the keeper's script, for uWSGI to run
	commandVariable = "HOP3_COMMAND" // the command line of the app's
)

// daemonKeeper runs, within the vassal, the command line in HOP3_COMMAND. The
// traps keep the keeper alive until the command has ended; what it starts has
// none.
const daemonKeeper = `trap : TERM INT HUP; ` +
	`sh -c 'echo pid $$ >&0; c=$HOP3_COMMAND; unset HOP3_COMMAND HOP3_KEEPER UWSGI_RELOADS UWSGI_ORIGINAL_PROC_NAME; exec </dev/null /bin/sh -c "$c"'; ` +
	`echo exit $? >&0`

// vassalKeeper runs, as the vassal, uWSGI with the arguments.
const vassalKeeper = `trap : TERM INT HUP; ulimit -c 0; ` +
	`sh -c 'echo pid $$ >&0; exec </dev/null "$@"' sh "$@"; ` +
	`echo exit $? >&0`
