package front

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// effectPatience is how long a program may take until new files are in effect.
// nginx needs 50 ms; a machine that is busy, more.
const effectPatience = 20 * time.Second

// apply makes the files what the routes are, and returns when they are in
// effect. When the program refuses them, or does not take them up, the files
// of before are back. The caller holds p.changing.
func (p *Proxy) apply(ctx context.Context) error {
	f := p.front
	place, files, err := p.files(f.program, f.place)
	if err != nil || place.Generation == f.place.Generation {
		return err
	}
	if err := p.test(ctx, f, place, files); err != nil {
		return err
	}
	undo, err := install(place.Dir, files)
	if err != nil {
		return err
	}
	if err := reload(ctx, f, place); err != nil {
		err = errors.Join(err, undo())
		if f.process.alive() {
			err = errors.Join(err, f.program.Reload(context.WithoutCancel(ctx), f.process.PID))
		}
		return hop3.Errorf(hop3.CodeUnavailable, "%s did not take up its new files, those of before are back: %w", f.program.Name(), err)
	}
	f.place = place
	return nil
}

// reload has the program read its files and waits until they are in effect.
func reload(ctx context.Context, f *standing, place Place) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectPatience)
	defer cancel()
	if err := f.program.Reload(ctx, f.process.PID); err != nil {
		return err
	}
	return inEffect(ctx, f, place)
}

// inEffect waits until the program says that it works by the files of place.
func inEffect(ctx context.Context, f *standing, place Place) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectPatience)
	defer cancel()
	var last error
	for {
		got, err := f.program.Generation(ctx, place)
		if err == nil && got == place.Generation {
			return nil
		}
		if err != nil {
			last = err
		}
		if hop3.CodeOf(err) == hop3.CodeInvalid {
			return err // it will not change its mind
		}
		if !f.process.alive() {
			return fmt.Errorf("%s ended: %s", f.program.Name(), tail(filepath.Join(place.Work, "output.log")))
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("no sign of it after %s", effectPatience), last)
		}
	}
}

// files returns what should be in the program's directory, and its place with
// the generation of that.
func (p *Proxy) files(program Program, place Place) (Place, map[string][]byte, error) {
	sites := p.sites()
	place.Control = Site{Hosts: p.o.ControlHosts, Certificates: p.certs.of(p.o.ControlHosts)}
	place.Generation = ""
	files, err := program.Files(place, sites)
	if err != nil {
		return place, nil, err
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%q %q\n", name, files[name])
	}
	place.Generation = hex.EncodeToString(sum.Sum(nil)[:8])
	files, err = program.Files(place, sites)
	return place, files, err
}

// test has the program read the files where they change nothing.
func (p *Proxy) test(ctx context.Context, f *standing, place Place, files map[string][]byte) error {
	staged := place
	staged.Dir = filepath.Join(place.Work, "staged")
	if err := os.RemoveAll(staged.Dir); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staged.Dir) }() // the next test does it again
	if err := copyOthers(place.Dir, staged.Dir); err != nil {
		return err
	}
	made, err := f.program.Files(staged, p.sites())
	if err != nil {
		return err
	}
	if _, err := install(staged.Dir, made); err != nil {
		return err
	}
	sockets, done, err := p.sockets(&staged)
	if err != nil {
		return err
	}
	defer done()
	return f.program.Test(ctx, f.binary, staged, sockets)
}

// copyOthers copies the files that are the admin's, so that they are tested
// together with ours.
func copyOthers(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(data), Marker) {
			continue
		}
		if err := WriteFile(filepath.Join(to, e.Name()), data); err != nil {
			return err
		}
	}
	return nil
}

// sockets returns copies of the sockets that the program gets, in the order of
// place.Sockets, which it fills in; done closes them.
func (p *Proxy) sockets(place *Place) (files []*os.File, done func(), err error) {
	public, err := p.o.Listeners.Public()
	if err != nil {
		return nil, nil, err
	}
	done = func() {
		for _, f := range public {
			_ = f.Close() // a copy
		}
	}
	status := place.Status
	if status == "" {
		status = "127.0.0.1:0"
	}
	file, err := listenFile(status)
	if err == nil {
		public["status"] = file
	} else if !errors.Is(err, unix.EADDRINUSE) { // then it is the program's already
		done()
		return nil, nil, err
	}
	place.Sockets = nil
	for _, name := range slices.Sorted(maps.Keys(public)) {
		address, err := addressOf(public[name])
		if err != nil {
			done()
			return nil, nil, err
		}
		if name == "status" {
			status = address
		}
		files = append(files, public[name])
		place.Sockets = append(place.Sockets, Socket{Name: name, Address: address})
	}
	if file == nil {
		place.Sockets = append(place.Sockets, Socket{Name: "status", Address: status})
	}
	place.Status = status
	return files, done, nil
}

// addressOf returns the address that a socket listens at.
func addressOf(socket *os.File) (string, error) {
	l, err := net.FileListener(socket)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }() // a copy
	return l.Addr().String(), nil
}

// listenFile opens a socket and returns its descriptor.
func listenFile(address string) (*os.File, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }() // a copy stays
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := 0, error(nil)
	if err := raw.Control(func(own uintptr) { fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 3) }); err != nil || dupErr != nil {
		return nil, errors.Join(err, dupErr)
	}
	return os.NewFile(uintptr(fd), address), nil
}

// stand brings a program in front: it takes one over that an earlier server
// left, or starts one. Our Caddy still serves too.
func (p *Proxy) stand(ctx context.Context, program Program) (*standing, error) {
	f := &standing{program: program}
	var err error
	if f.binary, err = program.Find(ctx); err != nil {
		return nil, err
	}
	f.place = p.placeOf(program)
	if err := os.MkdirAll(f.place.Work, 0o711); err != nil {
		return nil, err
	}
	if p.o.Certificates != nil {
		all := slices.Sorted(maps.Keys(p.hosts()))
		p.certs.load(all)
		limited, cancel := context.WithTimeout(ctx, localPatience)
		defer cancel()
		local, _ := splitLocal(all)
		p.certs.refresh(limited, local)
	}
	if found := left(p.o.Home); found != nil && found.Program == program.Name() {
		if adopted, err := p.adopt(ctx, f, found); err == nil {
			return adopted, nil
		}
		found.kill() // it is of no use, and another takes its place
	}
	return f, p.launch(ctx, f)
}

// placeOf is where a program works that is not running yet.
func (p *Proxy) placeOf(program Program) Place {
	place := Place{
		Dir: filepath.Join(p.o.Home, program.Name()), Work: filepath.Join(p.o.Home, "front", program.Name()), Backend: p.o.Backend,
		OpenFiles: 1024,
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		place.OpenFiles = int(min(limit.Max, 1<<16))
	}
	for dir := filepath.Dir(place.Backend.Unix); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			place.SameUser = true
		}
		if dir == filepath.Dir(dir) {
			return place
		}
	}
}

// adopt takes over a program that an earlier server left.
func (p *Proxy) adopt(ctx context.Context, f *standing, found *process) (*standing, error) {
	adopted := *f
	adopted.process, adopted.place.Sockets = found, found.Sockets
	adopted.place.Status = adopted.place.Address("status")
	if !p.samePublic(found.Sockets) {
		return nil, errors.New("it has other ports")
	}
	p.front = &adopted
	err := p.apply(ctx)
	p.front = nil
	return &adopted, err
}

// samePublic reports whether the sockets are those that we have.
func (p *Proxy) samePublic(sockets []Socket) bool {
	public, err := p.o.Listeners.Public()
	if err != nil {
		return false
	}
	same := len(public)+1 == len(sockets)
	for name, socket := range public {
		address, err := addressOf(socket)
		same = same && err == nil && slices.Contains(sockets, Socket{Name: name, Address: address})
		_ = socket.Close() // a copy
	}
	return same
}

// launch starts the program and returns when its files are in effect.
func (p *Proxy) launch(ctx context.Context, f *standing) error {
	sockets, done, err := p.sockets(&f.place)
	if err != nil {
		return err
	}
	defer done()
	place, files, err := p.files(f.program, f.place)
	if err != nil {
		return err
	}
	if err := p.test(ctx, f, place, files); err != nil {
		return err
	}
	undo, err := install(place.Dir, files)
	if err != nil {
		return err
	}
	if f.program.AcceptsEarly() {
		var public []*os.File
		for i, s := range place.Sockets {
			if s.Name != "status" {
				public = append(public, sockets[i])
			}
		}
		defer mute(public)() // before the copies are closed
	}
	if f.process, err = start(p.o.Home, f.program, f.binary, place, sockets); err != nil {
		return errors.Join(err, undo())
	}
	if err := inEffect(ctx, f, place); err != nil {
		f.process.kill()
		return errors.Join(hop3.Errorf(hop3.CodeUnavailable, "%s did not start: %w", f.program.Name(), err), undo())
	}
	f.place = place
	return nil
}

// tail is the end of what a program wrote, in one line.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}
