package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// takesInput reports whether a command reads this program's input: `addon TYPE
// import`, and `addon create` with a password.
func takesInput(words []string) (password, takes bool) {
	switch {
	case len(words) >= 4 && words[0] == "addon" && words[2] == "import":
		return false, true
	case len(words) >= 2 && words[0] == "addon" && words[1] == "create" && slices.Contains(words, "--password-stdin"):
		return true, true
	}
	return false, false
}

// inputFile opens the file that a command names to be its input, as in `addon
// postgres import db FILE`, and takes its name out of the words. It is nil where
// none is named.
func (p *program) inputFile(words []string) ([]string, *os.File, error) {
	if password, takes := takesInput(words); !takes || password || len(words) != 5 || strings.HasPrefix(words[4], "-") {
		return words, nil, nil
	}
	file, err := os.Open(words[4])
	if err != nil {
		return words, nil, exitf(api.ExitUsage, "The input cannot be read: %v.", err)
	}
	if info, err := file.Stat(); err != nil || info.IsDir() {
		_ = file.Close() // it was only looked at
		return words, nil, exitf(api.ExitUsage, "The input cannot be read: %s is a directory.", words[4])
	}
	return words[:4], file, nil
}

// input returns what goes with a command, nil for most: of the file from, where
// one was named, else of this program's input. That is spooled, since a request
// says how long it is. The returned function removes it.
func (p *program) input(ctx context.Context, words []string, from *os.File) (*client.Archive, func(), error) {
	password, takes := takesInput(words)
	if !takes {
		return nil, func() {}, nil
	}
	if from != nil {
		if info, err := from.Stat(); err == nil && info.Mode().IsRegular() {
			return &client.Archive{Content: from, Size: info.Size(), Data: true}, func() {}, nil
		}
	}
	in := p.In
	if from != nil {
		in = from
	}
	if isTerminal(in) {
		if !password {
			return nil, nil, exitf(api.ExitUsage, "There is no input: name a file, as in `hop3 %s FILE`, or pipe it in.", strings.Join(words, " "))
		}
		secret, err := p.askPassword(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &client.Archive{Content: strings.NewReader(secret), Size: int64(len(secret)), Data: true}, func() {}, nil
	}
	file, err := os.CreateTemp("", "hop3-input-*")
	if err != nil {
		return nil, nil, fmt.Errorf("keeping the input: %w", err)
	}
	remove := func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) } // a temporary file
	length, err := io.Copy(file, in)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("reading the input: %w", err)
	}
	return &client.Archive{Content: file, Size: length, Data: true}, remove, nil
}
