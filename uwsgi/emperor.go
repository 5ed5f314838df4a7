package uwsgi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/uwsgi/vassal"
)

// emperor is the uWSGI emperor of a home. It outlives the server: the next one
// finds it by the file emperor.json. Its vassals outlive it.
type emperor struct {
	place   vassal.Place
	program string
	logger  *zap.Logger

	mu    sync.Mutex
	known process // the one that runs, or ran last
}

// process is a process that can be recognised.
type process struct {
	PID   int
	Start uint64 // as procfs.Process.Start
	Boot  string
}

func newEmperor(p vassal.Place, program string, logger *zap.Logger) *emperor {
	e := &emperor{place: p, program: program, logger: logger}
	if text, err := os.ReadFile(e.file()); err == nil && json.Unmarshal(text, &e.known) != nil {
		logger.Warn("the file of the uWSGI emperor cannot be read", zap.String("file", e.file()))
	}
	if !e.runs() {
		e.find()
	}
	return e
}

// ensure starts an emperor when none runs.
func (e *emperor) ensure(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runs() {
		return nil
	}
	if err := e.start(); err != nil {
		return fmt.Errorf("starting the uWSGI emperor: %w", err)
	}
	return ctx.Err()
}

// wake has the emperor look at its directory now and not within a second:
// SIGWINCH does so, and nothing else. Of one that has died it returns an error.
func (e *emperor) wake() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.runs() {
		return errors.New("the uWSGI emperor has ended; its log is " + e.log())
	}
	if err := syscall.Kill(e.known.PID, syscall.SIGWINCH); err != nil {
		return fmt.Errorf("waking the uWSGI emperor: %w", err)
	}
	return nil
}

// end ends the emperor. It has no work to finish; asked by another signal it
// would end its vassals, and wait for each.
func (e *emperor) end() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.runs() {
		if err := syscall.Kill(e.known.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending the uWSGI emperor: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	return vassal.Remove(e.file())
}

// Private

func (e *emperor) file() string { return filepath.Join(e.place.Dir(), "emperor.json") }
func (e *emperor) log() string  { return filepath.Join(e.place.Dir(), "emperor.log") }

// runs reports whether the emperor runs.
func (e *emperor) runs() bool {
	boot, err := procfs.BootID()
	if err != nil || e.known.PID == 0 || e.known.Boot != boot {
		return false
	}
	p, ok := procfs.Find(e.known.PID)
	return ok && !p.Dead && p.Start == e.known.Start
}

// find looks for an emperor that a server started which did not live to write
// it down.
func (e *emperor) find() {
	all, err := procfs.All()
	if err != nil {
		return
	}
	for _, p := range all {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
		if err == nil && !p.Dead && strings.Contains(string(line), "\x00--emperor\x00"+e.place.Enabled()+"\x00") {
			if err := e.remember(p.PID); err != nil {
				e.logger.Warn("writing down which is the uWSGI emperor", zap.Error(err))
			}
			return
		}
	}
}

// start starts an emperor over a directory that it finds empty: the vassals of
// an earlier one run on without, or are started when they are asked for.
func (e *emperor) start() error {
	links, err := filepath.Glob(filepath.Join(e.place.Enabled(), "*.ini"))
	if err != nil {
		return err
	}
	for _, link := range links {
		name := filepath.Base(link[:len(link)-len(".ini")])
		if _, err := os.Stat(e.place.Wanted(name)); errors.Is(err, fs.ErrNotExist) {
			if err := vassal.Remove(link); err != nil {
				return err
			}
		}
	}
	log, err := os.OpenFile(e.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(e.program,
		"--emperor", e.place.Enabled(),
		"--emperor-freq", "1", // seconds; wake does not wait for it
		"--emperor-wrapper", e.place.Starter(),
		"--emperor-no-blacklist",
		// A vassal leaves the emperor's channel at once, for which it is cursed
		// and not killed.
		"--emperor-curse-tolerance", "2000000000",
		"--disable-logging",
	)
	cmd.Dir = e.place.Dir()
	// GOGC is for what starts the vassals: it ends before it is worth it.
	cmd.Env = []string{"GOGC=off", "PATH=" + os.Getenv("PATH"), "HOME=" + e.place.Dir(), "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go e.reap(cmd)
	return e.remember(cmd.Process.Pid)
}

// reap waits for an emperor that this server started.
func (e *emperor) reap(cmd *exec.Cmd) {
	defer func() {
		if v := recover(); v != nil {
			e.logger.Error("panic while waiting for the uWSGI emperor", zap.Any("panic", v))
		}
	}()
	err := cmd.Wait()
	e.logger.Info("the uWSGI emperor ended", zap.Int("pid", cmd.Process.Pid), zap.Error(err))
}

func (e *emperor) remember(pid int) error {
	boot, err := procfs.BootID()
	if err != nil {
		return err
	}
	found, ok := procfs.Find(pid)
	if !ok {
		return fmt.Errorf("it ended at once; its log is %s", e.log())
	}
	e.known = process{PID: pid, Start: found.Start, Boot: boot}
	text, err := json.Marshal(e.known)
	if err != nil {
		return err
	}
	return vassal.ReplaceFile(e.file(), text)
}
