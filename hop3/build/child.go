package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stopGrace = 5 * time.Second
	// readGrace is for what a command's descendants, which may have left its
	// process group, still hold of its output.
	readGrace = 2 * time.Second
	niceness  = 10
)

// child is a running command: the leader of a process group of its own.
type child struct {
	cmd     *exec.Cmd
	readers sync.WaitGroup
	pipes   []*os.File
}

// start starts cmd with its streams read line by line. The callbacks are never
// called at once; without onErr both streams are one pipe.
func start(cmd *exec.Cmd, at *place, onOut, onErr func(string)) (_ *child, err error) {
	p := &child{cmd: cmd}
	var writers []*os.File
	defer func() {
		closeAll(writers)
		if err != nil {
			closeAll(p.pipes)
		}
	}()
	pipe := func() (w *os.File, err error) {
		r, w, err := os.Pipe()
		if err == nil {
			p.pipes, writers = append(p.pipes, r), append(writers, w)
		}
		return w, err
	}
	stdout, err := pipe()
	if err != nil {
		return nil, err
	}
	stderr := stdout
	if onErr != nil {
		if stderr, err = pipe(); err != nil {
			return nil, err
		}
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := at.start(cmd); err != nil {
		return nil, err
	}
	// A build yields to the apps that serve. It may end before this.
	_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, niceness)
	var mu sync.Mutex
	for i, onLine := range []func(string){onOut, onErr}[:len(p.pipes)] {
		p.read(p.pipes[i], func(line string) {
			mu.Lock()
			defer mu.Unlock()
			onLine(line)
		})
	}
	return p, nil
}

func (p *child) read(r io.Reader, f func(string)) {
	p.readers.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				f(fmt.Sprintf("(the output cannot be shown: %v)", v))
			}
		}()
		if err := eachLine(r, f); err != nil && !errors.Is(err, os.ErrClosed) {
			f(fmt.Sprintf("(the output cannot be read: %v)", err))
		}
	})
}

// wait waits for the command, ends its whole group when ctx is done, and in any
// case leaves nothing of the group behind.
func (p *child) wait(ctx context.Context) error {
	pid := p.cmd.Process.Pid
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		waitExit(pid)
	}()
	select {
	case <-exited:
	case <-ctx.Done():
		_ = syscall.Kill(-pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(stopGrace):
		}
	}
	// The leader is not reaped yet, so the number still names this group.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-exited
	err := p.cmd.Wait()
	p.drain()
	return err
}

// waitExit returns when the process has ended, and leaves it to be reaped.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// drain reads what is left of the output.
func (p *child) drain() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.readers.Wait()
	}()
	select {
	case <-done:
	case <-time.After(readGrace):
	}
	closeAll(p.pipes)
	<-done
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
