package procfs

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Listener is a TCP socket that accepts connections.
type Listener struct {
	Addr  netip.AddrPort // an IPv4 address in IPv6 form is unmapped
	Inode uint64
}

// Listeners returns the listening TCP sockets of this network namespace.
func Listeners() ([]Listener, error) {
	var all []Listener
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		l, err := readListeners(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("reading the listening sockets: %w", err)
		}
		all = append(all, l...)
	}
	return all, nil
}

// UnixListener returns the inode of the socket that listens on a path, and
// false when none does.
func UnixListener(path string) (inode uint64, ok bool, err error) {
	err = eachLine("/proc/net/unix", func(f []string) {
		// Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 says
		// that the socket listens.
		if len(f) >= 8 && f[3] == "00010000" && strings.Join(f[7:], " ") == path {
			inode, _ = strconv.ParseUint(f[6], 10, 64)
			ok = true
		}
	})
	return inode, ok, err
}

// Sockets returns the inodes of the sockets that a process holds. Processes of
// other users show none.
func Sockets(pid int) map[uint64]bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	inodes := make(map[uint64]bool)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if s, ok := strings.CutPrefix(target, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 64); err == nil {
				inodes[n] = true
			}
		}
	}
	return inodes
}

// Private

func readListeners(file string) ([]Listener, error) {
	var all []Listener
	err := eachLine(file, func(f []string) {
		// sl local_address rem_address st …, the inode is the tenth.
		const listening = "0A"
		if len(f) < 10 || f[3] != listening {
			return
		}
		addr, ok := parseAddr(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if ok && err == nil {
			all = append(all, Listener{Addr: addr, Inode: inode})
		}
	})
	return all, err
}

// parseAddr reads "0100007F:1F90": the address as 32-bit words in the
// machine's byte order, the port as a number.
func parseAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), ok
}

func eachLine(file string, line func(fields []string)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		line(strings.Fields(s.Text()))
	}
	return s.Err()
}
