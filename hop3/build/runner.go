package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/abilian/hop3/hop3"
)

// Runner runs the commands of a build. It is safe for concurrent use.
type Runner struct {
	Dir string      // default working directory
	Env hop3.Env    // complete environment, before what a command adds
	Out hop3.Output // receives what the commands print

	place *place // nil: as the server's user
}

// Run runs a command to its end. See hop3.Runner.
func (r *Runner) Run(ctx context.Context, c hop3.Command) error {
	return r.run(ctx, c, r.show, nil)
}

// show sends a line of a command on, indented under what Hop3 says.
func (r *Runner) show(line string) {
	say(r.Out, "%s", strings.TrimRight("       "+line, " "))
}

// maxOutput bounds what Output keeps.
const maxOutput = 1 << 20

// Output runs a command and returns what it wrote to its standard output. The
// error has the last line it wrote to its standard error.
func (r *Runner) Output(ctx context.Context, c hop3.Command) (string, error) {
	var out strings.Builder
	var last string
	err := r.run(ctx, c,
		func(line string) {
			if out.Len() < maxOutput {
				out.WriteString(line + "\n")
			}
		},
		func(line string) {
			if line = strings.TrimSpace(line); line != "" {
				last = line
			}
		})
	var failed *hop3.Error
	if errors.As(err, &failed) && last != "" {
		return "", failed.WithHint("%s", last)
	}
	return strings.TrimSuffix(out.String(), "\n"), err
}

// run gives each line the command writes to onOut or onErr. The two are never
// called at once; without onErr both streams are one, in the order of writing.
func (r *Runner) run(ctx context.Context, c hop3.Command, onOut, onErr func(string)) error {
	if err := ctx.Err(); err != nil {
		return canceled(c, ctx)
	}
	cmd := r.command(c)
	killed := r.place.oomKills()
	p, err := start(cmd, r.place, onOut, onErr)
	if err != nil {
		return notStarted(c, cmd, err)
	}
	err = p.wait(ctx)
	if ctx.Err() != nil {
		return canceled(c, ctx)
	}
	if err != nil && r.place.oomKills() > killed {
		return hop3.Errorf(hop3.CodeDeploy, "the command `%s` failed: the build ran out of memory: its limit is %s: %w", describe(c), size(r.place.memory), err).
			WithHint("Builds may use more when the server's administrator sets BUILD_MEMORY, or when the build does less at once.")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return hop3.Errorf(hop3.CodeDeploy, "the command `%s` failed: %w", describe(c), exit)
	}
	if err != nil {
		return fmt.Errorf("running %s: %w", describe(c), err)
	}
	return nil
}

func (r *Runner) command(c hop3.Command) *exec.Cmd {
	args := c.Args
	if c.Shell != "" {
		args = []string{"/bin/sh", "-c", c.Shell}
	}
	env := prepend(r.Env.Merge(c.Env), c.Path)
	dir := c.Dir
	if dir == "" {
		dir = r.Dir
	}
	cmd := &exec.Cmd{
		Args: args,
		Dir:  dir,
		Env:  env.Merge(hop3.Env{"PWD": dir}).Environ(),
	}
	if len(args) > 0 {
		cmd.Path = lookPath(args[0], env["PATH"])
	}
	return cmd
}

func notStarted(c hop3.Command, cmd *exec.Cmd, err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		return hop3.Errorf(hop3.CodeDeploy, "the command `%s` cannot be started: %w", describe(c), err).
			WithHint("Is %s installed on the server?", filepath.Base(cmd.Path))
	}
	return fmt.Errorf("starting %s: %w", describe(c), err)
}

func canceled(c hop3.Command, ctx context.Context) error {
	return hop3.Errorf(hop3.CodeCanceled, "the command `%s` was ended: %w", describe(c), context.Cause(ctx))
}

// describe is a command as its developer would recognise it: without the path
// of the program, and of a sane length.
func describe(c hop3.Command) string {
	text := c.Shell
	if text == "" && len(c.Args) > 0 {
		text = strings.Join(append([]string{filepath.Base(c.Args[0])}, c.Args[1:]...), " ")
	}
	text = clean(strings.ReplaceAll(text, "\n", "; "))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

var _ hop3.Runner = (*Runner)(nil)
