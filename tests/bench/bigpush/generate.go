package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/abilian/hop3/tests/bench/subject"
)

// Each commit of the generated repository writes this many files, below one
// directory of its own.
const filesPerCommit = 97

// generate makes a bare repository of so many objects and bytes, the same each
// time, with the branches main and root, which is main's first commit. It is
// packed, so that a push costs its client little.
func generate(ctx context.Context, server *subject.Server, dir string, objects, bytes int) error {
	if err := server.Git(ctx, server.Dir, "init", "-q", "--bare", "-b", "main", dir); err != nil {
		return err
	}
	cmd := server.Command(ctx, dir, "git", "fast-import", "--quiet")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	commits := objects / (filesPerCommit + 3) // the commit and its two trees
	err = write(stdin, commits, bytes/(commits*filesPerCommit))
	if closeErr := stdin.Close(); err == nil {
		err = closeErr
	}
	if waitErr := cmd.Wait(); waitErr != nil {
		return waitErr
	}
	if err != nil {
		return err
	}
	if err := server.Git(ctx, dir, "branch", "root", fmt.Sprintf("main~%d", commits-1)); err != nil {
		return err
	}
	return server.Git(ctx, dir, "repack", "-adq")
}

// write writes the commits as git fast-import reads them. Half of the files are
// new: random bytes, in base64, of which packing takes a quarter off. The
// others are those of the commit before with a few bytes changed, which packs
// keep as differences.
func write(w io.Writer, commits, packedSize int) error {
	out := bufio.NewWriterSize(w, 1<<20)
	random := rand.NewChaCha8([32]byte{})
	raw := make([][]byte, filesPerCommit)
	for i := range raw {
		raw[i] = make([]byte, 2*packedSize)
		if _, err := random.Read(raw[i]); err != nil {
			return err
		}
	}
	for c := range commits {
		fmt.Fprintf(out, "commit refs/heads/main\ncommitter Bench <bench@example.com> %d +0000\ndata 5\nround\n", 1_700_000_000+c)
		for i := range raw {
			changed := raw[i]
			if i%2 == 1 {
				changed = changed[:16]
			}
			if _, err := random.Read(changed); err != nil {
				return err
			}
			text := base64.StdEncoding.EncodeToString(raw[i])
			fmt.Fprintf(out, "M 100644 inline d%04d/f%03d.txt\ndata %d\n%s\n", c, i, len(text), text)
		}
	}
	return out.Flush()
}
