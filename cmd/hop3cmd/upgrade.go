package hop3cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
)

// maxBinary is more than any build of Hop3 has.
const maxBinary = 1 << 30

// stage copies a program to where the installed one is, under another name.
func stage(binary, installed string) (path string, err error) {
	from, err := os.Open(binary)
	if err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "cannot read the new program: %w", err)
	}
	defer func() { _ = from.Close() }()
	info, err := from.Stat()
	if err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "cannot read the new program: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxBinary {
		return "", hop3.Errorf(hop3.CodeInvalid, "%s is no program", binary)
	}
	to, err := os.CreateTemp(filepath.Dir(installed), "."+filepath.Base(installed)+"-*")
	if err != nil {
		return "", hop3.Errorf(hop3.CodeUnavailable, "cannot write beside %s: %w", installed, err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Chmod(0o755), to.Sync(), to.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("copying the new program: %w", err), os.Remove(to.Name()))
	}
	return to.Name(), nil
}

// install puts a staged program in the place of the installed one, whose name
// at no moment leads nowhere, and returns what the old one is called now.
func install(staged, installed string) (previous string, err error) {
	previous = installed + ".previous"
	if err := os.Remove(previous); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("removing the program before the last: %w", err)
	}
	if err := os.Link(installed, previous); err != nil {
		return "", fmt.Errorf("keeping the old program: %w", err)
	}
	if err := os.Rename(staged, installed); err != nil {
		return "", fmt.Errorf("installing the new program: %w", err)
	}
	dir, err := os.Open(filepath.Dir(installed))
	if err != nil {
		return "", err
	}
	return previous, errors.Join(dir.Sync(), dir.Close())
}
