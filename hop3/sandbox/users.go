package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// user returns the user of an app: its directory's group. A directory without
// one gets the next that nobody has, and is closed to all others.
func (s *Sandbox) user(appDir string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeDir(appDir, dirOwner{-1, -1, 0o750}); err != nil {
		return 0, err
	}
	fd, err := s.open(appDir)
	if err != nil {
		return 0, err
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	uid := int(st.Gid)
	if uid < s.first || uid > s.last {
		if uid, err = s.freeUser(filepath.Dir(appDir)); err != nil {
			return 0, err
		}
	}
	return uid, own(fd, dirOwner{os.Geteuid(), uid, 0o750})
}

// freeUser returns a user that no app or service has, nor anybody on this
// machine. They
// go round, so that an app does not get the one of an app just deleted.
func (s *Sandbox) freeUser(apps string) (int, error) {
	used := map[int]bool{s.last: true} // the trial's
	for _, dir := range []string{apps, filepath.Join(s.home, "apps"), filepath.Join(s.home, "services"), "/proc"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue // it has gone
			}
			st := info.Sys().(*syscall.Stat_t)
			used[int(st.Uid)], used[int(st.Gid)] = true, true
		}
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			for i, field := range strings.SplitN(line, ":", 5) {
				if id, err := strconv.Atoi(field); err == nil && i >= 2 {
					used[id] = true
				}
			}
		}
	}
	for range s.last - s.first + 1 {
		uid := s.next
		if s.next++; s.next > s.last {
			s.next = s.first
		}
		if !used[uid] {
			return uid, nil
		}
	}
	return 0, hop3.Errorf(hop3.CodeUnavailable, "all users from %d to %d are taken", s.first, s.last)
}

// isName reports whether an app's name is fit for a file's and a user's.
func isName(app string) bool {
	if app == "" || len(app) > 200 || app[0] == '.' {
		return false
	}
	for _, c := range []byte(app) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0) {
			return false
		}
	}
	return true
}

// usersDir holds the files that apps see as /etc/passwd and /etc/group.
func (s *Sandbox) usersDir() string { return filepath.Join(s.home, "run", "sandbox", "users") }

// maxUserName is the longest name that the system's own tools take.
const maxUserName = 32

// writeUsers writes the host's users and the app's, as the app is to see them.
func (s *Sandbox) writeUsers(app string, uid int, home string) (passwd, group string, err error) {
	name := "hop3-app-" + app
	name = name[:min(len(name), maxUserName)]
	if strings.ContainsAny(home, ":\n") {
		home = "/" // it cannot be written there
	}
	if err := os.MkdirAll(s.usersDir(), 0o711); err != nil {
		return "", "", err
	}
	passwd = filepath.Join(s.usersDir(), app+".passwd")
	group = filepath.Join(s.usersDir(), app+".group")
	return passwd, group, errors.Join(
		writeUserFile(passwd, "/etc/passwd", fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", name, uid, uid, home)),
		writeUserFile(group, "/etc/group", fmt.Sprintf("%s:x:%d:\n", name, uid)))
}

func writeUserFile(file, host, line string) error {
	text, err := os.ReadFile(host)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	text = append(text, line...)
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, text) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (s *Sandbox) forgetUsers(app string) error {
	var failed error
	for _, kind := range []string{".passwd", ".group"} {
		err := os.Remove(filepath.Join(s.usersDir(), app+kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
