package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// write writes a value to a control file, which is never created.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// writeIfThere is write for files that not every kernel has.
func writeIfThere(dir, file, value string) error {
	if err := write(dir, file, value); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func read(dir, file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	return strings.TrimSpace(string(b)), err
}

// number reads a file of one number.
func number(dir, file string) (int64, error) {
	text, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// field reads the number after a name in a file of lines as "oom_kill 3"; 0
// when there is none.
func field(dir, file, name string) (int64, error) {
	text, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, nil
}

// subdirs returns the groups directly below a directory; none when it has gone.
func subdirs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs, err
}

// cpuPeriod is over how long CPU time is shared out, in microseconds.
const cpuPeriod = 100_000

// quota returns the microseconds of CPU time for each period. The kernel
// takes no less than a millisecond.
func quota(cores float64) int64 { return max(1000, int64(cores*cpuPeriod)) }
