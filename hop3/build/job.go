package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

// Job is one build under way: its log, and the place where its commands run.
type Job struct {
	// Out writes to the build's log and to who deploys.
	Out hop3.Output
	// Runner runs commands in the place, in the source's directory, with its
	// Env, which is to be set.
	Runner *Runner

	log   *logFile
	place *place
}

// Place says where the commands of builds run: as the app's user in a control
// group. The zero value runs them as the server's.
type Place struct {
	Sandbox *sandbox.Sandbox
	// Memory caps what all commands of a build use together, in bytes; 0 for
	// three quarters of the machine's.
	Memory int64
}

// Begin opens the log of a build and makes its place ready. The source becomes
// the app's user's.
func Begin(req hop3.BuildRequest, builder string, at Place) (*Job, error) {
	log, err := openLog(req.LogFile, req.App, builder, time.Now())
	if err != nil {
		return nil, err
	}
	j := &Job{Out: log.tee(req.Out), log: log}
	if j.place, err = at.prepare(req); err != nil {
		return nil, errors.Join(err, log.close(err))
	}
	j.Runner = &Runner{Dir: req.Source, Out: j.Out, place: j.place}
	return j, nil
}

// End ends what the build left running, and writes its outcome into the log.
// It returns the outcome with what went wrong with that.
func (j *Job) End(outcome error) error {
	outcome = errors.Join(outcome, j.place.clear())
	return errors.Join(outcome, j.log.close(outcome))
}

// MakeDir makes a directory in the source or the cache as the build's user.
func (j *Job) MakeDir(dir string) error {
	if err := j.place.makeDir(dir); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	return nil
}

// As calls f with the rights of the build's user to files: commands of the
// developer have run in the source, and links they left there must not lead
// anybody elsewhere.
func (j *Job) As(f func() error) error {
	return j.place.as(j.Out, func(hop3.Output) error { return f() })
}

// Commands runs command lines of the developer.
func (j *Job) Commands(ctx context.Context, hook string, lines []string) error {
	for _, line := range lines {
		j.Say("-----> Running %s: %s", hook, clean(line))
		if err := j.Runner.Run(ctx, hop3.Command{Shell: line}); err != nil {
			return err
		}
	}
	return nil
}

// Say tells who deploys, and the log, a line.
func (j *Job) Say(format string, args ...any) { say(j.Out, format, args...) }

// Warn is Say of what is not as it should be.
func (j *Job) Warn(format string, args ...any) { warn(j.Out, format, args...) }

// Environ is the environment of a build's commands: how to reach the network,
// which is the server's, and the app's variables. Nothing else of the server's.
func Environ(home string, app hop3.Env) hop3.Env { return childEnv(home, app) }

// Clean returns text without what could act on a reader's terminal, cut to a
// sane length.
func Clean(text string) string { return clean(text) }
