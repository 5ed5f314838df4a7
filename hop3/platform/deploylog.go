package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

const (
	// deployLogs is the directory, in an app's log directory, of what was told
	// to who made its releases.
	deployLogs = "deploy"
	// deployLogsKept is how many of them are kept.
	deployLogsKept = 50
)

// recording is an Output that keeps a copy in the log of its release.
type recording struct {
	hop3.Output
	log *runLog
}

// record has what is told of a release kept, too. Without a log the deploy
// goes on. The returned function ends the log with the deploy's outcome.
func (p *Platform) record(r hop3.Release, out hop3.Output) (hop3.Output, func(error)) {
	if out == nil {
		out = hop3.Discard
	}
	log := &runLog{}
	name := deployLogName(r.Number)
	// A server that ended before may have left one of a release that was never
	// stored: its number is used again.
	err := p.Files.Remove(filepath.Join(p.logDir(r.App), name))
	if err == nil {
		log.file, err = p.Files.Create(p.logDir(r.App), name)
	}
	if err != nil {
		p.Logger.Warn("opening the log of a deploy", zap.String("app", r.App), zap.Int("release", r.Number), zap.Error(err))
		return out, func(error) {}
	}
	return &recording{out, log}, func(outcome error) {
		if outcome != nil {
			_, _ = fmt.Fprintln(log, hop3.MessageOf(outcome)) // never fails
		}
		if err := errors.Join(log.close(), p.pruneDeployLogs(r.App)); err != nil {
			p.Logger.Warn("writing the log of a deploy", zap.String("app", r.App), zap.Int("release", r.Number), zap.Error(err))
		}
	}
}

// Log passes the line on, and keeps it where it may.
func (r *recording) Log(line hop3.LogLine) {
	r.Output.Log(line)
	if line.Once {
		return
	}
	_, _ = fmt.Fprintln(r.log, line.Text) // never fails
}

func deployLogName(number int) string { return deployLogs + "/v" + strconv.Itoa(number) + ".log" }

// pruneDeployLogs removes all but the newest logs.
func (p *Platform) pruneDeployLogs(app string) error {
	dir := filepath.Join(p.logDir(app), deployLogs)
	names, err := p.Files.List(dir)
	if err != nil || len(names) <= deployLogsKept {
		return err
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, "v"), ".log"))
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return number(b) - number(a) })
	for _, name := range names[deployLogsKept:] {
		err = errors.Join(err, p.Files.Remove(filepath.Join(dir, name)))
	}
	return err
}

// DeployLog calls line with each line of what was told to who made a release.
// It returns a CodeNotFound error when there is no such release, or its log is
// not kept any more.
func (p *Platform) DeployLog(ctx context.Context, app string, number int, line func(string) error) error {
	if _, err := p.Store.Release(ctx, app, number); err != nil {
		return err
	}
	return p.readLog(ctx, app, deployLogName(number), fmt.Sprintf("v%d", number), line)
}
