package supervisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/logfile"
)

// spawn starts the instance's process. Its state file says so before, and who
// it is after.
func (i *instance) spawn(ctx context.Context) (*process, error) {
	r := i.record()
	if info, err := os.Stat(i.launch.Dir); err != nil || !info.IsDir() {
		return nil, hop3.Errorf(hop3.CodeDeploy, "the release's directory %s is not there", i.launch.Dir)
	}
	if err := i.address(&r); err != nil {
		return nil, err
	}
	r.PID, r.Start, r.Boot = 0, 0, i.s.states.boot
	i.update(func(rec *record) { *rec = r }, hop3.InstanceBackoff)
	if err := i.s.states.save(&r); err != nil {
		return nil, fmt.Errorf("writing the instance's state: %w", err)
	}
	plan, err := i.s.prepare(i.launch, i.group, i.s.releaseGroup(i.launch.ID))
	if err != nil {
		return nil, err
	}
	r.OOMKills = i.s.oomKills(i.group)
	log, err := logfile.Open(r.LogFile)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()
	i.s.logs.Watch(r.LogFile, i.marker)
	i.say("starts")

	p, err := i.run(ctx, plan, log)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeDeploy, "%s.%d cannot be started: %w", r.Type, r.Ordinal, err)
	}
	r.PID, r.Start, r.StartedAt = p.pid, p.start, time.Now()
	i.update(func(rec *record) { *rec = r }, hop3.InstanceRunning)
	if err := i.s.states.save(&r); err != nil {
		// The next server finds it by its marker.
		i.s.logger.Warn("writing an instance's state: " + err.Error())
	}
	return p, nil
}

// environ is the environment of the instance: the release's, and what names
// the instance, which the release cannot set.
func (i *instance) environ(r record) []string {
	own := hop3.Env{
		"PATH":          searchPath(i.launch),
		markerVariable:  i.marker,
		processVariable: fmt.Sprintf("%s.%d", r.Type, r.Ordinal),
	}
	if r.Port != 0 {
		own["PORT"] = strconv.Itoa(r.Port)
	}
	return i.launch.Env.Merge(own).Environ()
}

// searchPath is the launch's directories before its own PATH, or before the
// server's when it sets none.
func searchPath(l *hop3.Launch) string {
	path := l.Env["PATH"]
	if path == "" {
		path = os.Getenv("PATH")
	}
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return strings.Join(append(slices.Clone(l.Path), path), ":")
}

func logFile(l *hop3.Launch, processType string, ordinal int) string {
	return filepath.Join(l.LogDir, fmt.Sprintf("%s.%d.log", processType, ordinal))
}

// simpleCommand is a command line of one program and its arguments, without
// what only a shell can do after a program has started: sequences, pipes,
// subshells. The program's name holds no '=': that would be an assignment.
var simpleCommand = regexp.MustCompile(`^[ \t]*([A-Za-z0-9_./-]+)([ \t][^;&|()\n` + "`" + `]*)?$`)

// shellWords are commands that a shell runs itself, so that exec cannot.
var shellWords = []string{
	".", "alias", "bg", "break", "case", "cd", "command", "continue", "eval", "exec", "exit", "export", "fg", "for",
	"getopts", "hash", "if", "jobs", "local", "read", "readonly", "return", "set", "shift", "source", "time", "times",
	"trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
}

// noCore keeps the processes of a command line from writing their memory to the
// disk when they crash.
const noCore = "ulimit -c 0; "

// shell returns the argv for a command line of the developer. Where possible
// the shell becomes the program instead of waiting for it: that saves its
// memory and gives the program's own exit status.
func shell(command string) []string {
	if m := simpleCommand.FindStringSubmatch(command); m != nil && !slices.Contains(shellWords, m[1]) {
		command = "exec " + command
	}
	return []string{"/bin/sh", "-c", noCore + command}
}
