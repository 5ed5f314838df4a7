package front

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Marker begins every file that we write into a program's directory. Others
// there are the admin's, and left alone.
const Marker = "# Written by Hop3, and written again: changes are lost.\n"

// install makes files the ones in dir: each is replaced atomically, and those
// of an earlier install that are not among them go. It returns what takes that
// back.
func install(dir string, files map[string][]byte) (undo func() error, err error) {
	before, err := read(dir)
	if err != nil {
		return nil, err
	}
	if err := write(dir, before, files); err != nil {
		return nil, errors.Join(err, write(dir, files, before))
	}
	return func() error { return write(dir, files, before) }, nil
}

// read returns the files of dir that are ours.
func read(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(data, []byte(Marker)) {
			files[e.Name()] = data
		}
	}
	return files, nil
}

// write goes from the files there are to those that are wanted.
func write(dir string, have, want map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var errs []error
	// The main file, which says what is in effect, comes last: a program that
	// watches its files must not take it for all there is.
	names := slices.SortedFunc(maps.Keys(want), func(a, b string) int {
		if main := strings.HasPrefix(a, "_"); main != strings.HasPrefix(b, "_") {
			if main {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if old, same := have[name]; same && bytes.Equal(old, want[name]) {
			continue
		}
		errs = append(errs, WriteFile(filepath.Join(dir, name), want[name]))
	}
	for name := range have {
		if _, stays := want[name]; !stays {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// WriteFile replaces a file atomically by one that only we can read.
func WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(tmp.Name()))
	}
	return nil
}
