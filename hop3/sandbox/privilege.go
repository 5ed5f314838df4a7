package sandbox

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropPrivileges gives up, for this thread and what it starts, to gain rights
// by running a program: set-user-id bits, file capabilities, and what
// capabilities would be inherited.
func dropPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clearing the ambient capabilities: %w", err)
	}
	header, data, err := capabilities()
	if err != nil {
		return err
	}
	for i := range data {
		data[i].Inheritable = 0
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("clearing the inheritable capabilities: %w", err)
	}
	// Without new privileges the bounding set cannot be reached: it is
	// emptied so that it can be seen, where CAP_SETPCAP allows it.
	for c := uintptr(0); c < 64; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			break // past the last one, or not allowed
		}
	}
	unix.Umask(0o022)
	return nil
}

// becomeUser makes this thread, and only this one, a user without any
// capability. syscall.Setuid would change all threads.
func becomeUser(uid, gid int) error {
	for _, call := range []struct {
		name string
		trap uintptr
		args [3]uintptr
	}{
		{"groups", unix.SYS_SETGROUPS, [3]uintptr{}},
		{"group", unix.SYS_SETRESGID, [3]uintptr{uintptr(gid), uintptr(gid), uintptr(gid)}},
		{"user", unix.SYS_SETRESUID, [3]uintptr{uintptr(uid), uintptr(uid), uintptr(uid)}},
	} {
		if _, _, errno := syscall.RawSyscall(call.trap, call.args[0], call.args[1], call.args[2]); errno != 0 {
			return fmt.Errorf("changing the %s: %w", call.name, errno)
		}
	}
	header, _, err := capabilities()
	if err != nil {
		return err
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("dropping the capabilities: %w", err)
	}
	return nil
}

// fileRights gives this thread the rights to files of a user, and no other's.
func fileRights(uid, gid int) error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("dropping the groups: %w", errno)
	}
	// These calls report no failure: the second one tells what is set.
	for _, c := range []struct {
		trap uintptr
		id   int
	}{{unix.SYS_SETFSGID, gid}, {unix.SYS_SETFSUID, uid}} {
		_, _, _ = syscall.RawSyscall(c.trap, uintptr(c.id), 0, 0)
		if now, _, _ := syscall.RawSyscall(c.trap, ^uintptr(0), 0, 0); int(now) != c.id {
			return errors.New("the rights of the app's user cannot be taken on")
		}
	}
	// From root the kernel takes these itself, from another user it does not.
	header, data, err := capabilities()
	if err != nil {
		return err
	}
	for _, c := range []uint{
		unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER,
		unix.CAP_FSETID, unix.CAP_LINUX_IMMUTABLE, unix.CAP_MKNOD, unix.CAP_MAC_OVERRIDE,
	} {
		data[c/32].Effective &^= 1 << (c % 32)
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("dropping the capabilities: %w", err)
	}
	return nil
}

func capabilities() (unix.CapUserHeader, [2]unix.CapUserData, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return header, data, fmt.Errorf("reading the capabilities: %w", err)
	}
	return header, data, nil
}

// missingCapabilities returns those of the capabilities that isolation needs
// that this process lacks.
func missingCapabilities() []string {
	_, data, err := capabilities()
	if err != nil {
		return nil
	}
	var missing []string
	for _, c := range []struct {
		name string
		bit  uint
	}{
		{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_SETUID", unix.CAP_SETUID}, {"CAP_SETGID", unix.CAP_SETGID},
		{"CAP_CHOWN", unix.CAP_CHOWN}, {"CAP_FOWNER", unix.CAP_FOWNER}, {"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE},
		{"CAP_KILL", unix.CAP_KILL},
	} {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	return missing
}

func isUnknownCall(err error) bool { return errors.Is(err, unix.ENOSYS) }
