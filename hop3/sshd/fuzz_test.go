package sshd

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// FuzzExecLine: whatever a client wants executed, it is a git command for an
// app of a valid name, words of a command, or an error.
func FuzzExecLine(f *testing.F) {
	for _, line := range []string{
		"git-receive-pack 'blog'", "git upload-pack \"/blog.git\"", "git-receive-pack '../x'", "git-receive-pack 'a'; id", "hop3 env set A='b c'",
		"git-receive-pack ~/apps/blog/git", "a \\", "'", "git-receive-pack 'b\x00'",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cmd, err := parseLine("/srv/hop3", line)
		switch {
		case err != nil && hop3.CodeOf(err) != hop3.CodeInvalid:
			t.Errorf("the error is %v", err)
		case err == nil && cmd.verb != "" && hop3.ValidateAppName(cmd.app) != nil:
			t.Errorf("the app is %q", cmd.app)
		}
		words, err := splitWords(line)
		if err != nil && hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("the error is %v", err)
		}
		for _, word := range words {
			if strings.ContainsRune(word, 0) {
				t.Errorf("a word is %q", word)
			}
		}
	})
}
