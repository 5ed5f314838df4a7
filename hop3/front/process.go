package front

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3/procfs"
)

// process is a running program in front, as the next server finds it again.
type process struct {
	Program string   `json:"program"`
	PID     int      `json:"pid"`
	Start   uint64   `json:"start"` // in clock ticks since boot
	Boot    string   `json:"boot"`
	Sockets []Socket `json:"sockets"`
}

// stateFile says what runs in front of the server of a home.
func stateFile(home string) string { return filepath.Join(home, "run", "front.json") }

// start runs the program with the sockets, in a session of its own: it goes on
// while another image of our process, or another process, takes over.
func start(home string, program Program, b Binary, p Place, sockets []*os.File) (*process, error) {
	cmd := program.Command(b, p)
	cmd.ExtraFiles = sockets
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	log, err := os.OpenFile(filepath.Join(p.Work, "output.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program.Name(), err)
	}
	made := &process{Program: program.Name(), PID: cmd.Process.Pid, Sockets: p.Sockets}
	found, _ := procfs.Find(made.PID) // one that has ended already is noticed soon
	made.Start = found.Start
	if made.Boot, err = procfs.BootID(); err == nil {
		err = made.save(home)
	}
	if err != nil {
		made.kill()
		return nil, err
	}
	return made, nil
}

func (p *process) save(home string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return WriteFile(stateFile(home), text)
}

// left returns what an earlier server left running in front of a home, nil for
// nothing.
func left(home string) *process {
	text, err := os.ReadFile(stateFile(home))
	if err != nil {
		return nil
	}
	p := &process{}
	if json.Unmarshal(text, p) != nil || !p.alive() {
		return nil
	}
	return p
}

// alive reports whether the process runs: that one, not another of its number.
func (p *process) alive() bool {
	if p == nil {
		return false
	}
	boot, err := procfs.BootID()
	if err != nil || boot != p.Boot {
		return false
	}
	// One that ended as our child is dead until it is waited for.
	_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
	found, ok := procfs.Find(p.PID)
	return ok && !found.Dead && found.Start == p.Start
}

// wait returns when the process has ended, or the time is up, and reports
// whether it has ended.
func (p *process) wait(patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for p.alive() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

func (p *process) signal(s syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(p.PID, s) // it may just have ended
	}
}

// kill ends the process, and what it started, at once.
func (p *process) kill() {
	if p.alive() {
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
	}
	p.wait(5 * time.Second)
}

// Reclaim returns a copy of the listening socket with an address that a
// program has which an earlier server left in front of a home: a server that
// was killed finds its ports taken by it. False says that no such program has
// it, or that we may not take it; in that case the program has been ended.
func Reclaim(home, address string) (fd int, ok bool) {
	p := left(home)
	if p == nil {
		return 0, false
	}
	fd, err := p.listening(address)
	if err == nil {
		return fd, true
	}
	if errors.Is(err, fs.ErrPermission) {
		p.kill()
	}
	return 0, false
}

// listening copies the socket out of the process.
func (p *process) listening(address string) (int, error) {
	pidfd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(pidfd) }()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		var number int
		if _, err := fmt.Sscan(e.Name(), &number); err != nil {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, number, 0)
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return 0, err
			}
			continue // it was closed meanwhile
		}
		if accepts(fd) && sameAddress(fd, address) {
			unix.CloseOnExec(fd)
			return fd, nil
		}
		_ = unix.Close(fd)
	}
	return 0, fs.ErrNotExist
}

func accepts(fd int) bool {
	v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && v == 1
}

func sameAddress(fd int, address string) bool {
	have, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	var ip net.IP
	var number int
	switch a := have.(type) {
	case *unix.SockaddrInet4:
		ip, number = a.Addr[:], a.Port
	case *unix.SockaddrInet6:
		ip, number = a.Addr[:], a.Port
	default:
		return false
	}
	if fmt.Sprint(number) != port {
		return false
	}
	return host == "" && ip.IsUnspecified() || ip.Equal(net.ParseIP(host))
}
