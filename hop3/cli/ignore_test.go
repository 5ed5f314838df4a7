package cli

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What git leaves out, a deploy leaves out: git itself is asked.
func TestIgnoresAsGitDoes(t *testing.T) {
	top := t.TempDir()
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "HOME="+top, "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git(top, "init", "-q")
	for name, content := range map[string]string{
		".git/info/exclude":           "private.txt\n",
		".gitignore":                  "*.log\r\n# a comment\n\n/build\n/services/web/only-here\n!important.log\ndoc/*.txt\n**/cache\nlogs/**\n!logs/keep\na/**/b\n\\#hash\n\\!bang\ntrail\\ \nblanks   \n[!a-c].dat\n?.one\n/\nservices/**/gone.md\n",
		"services/.gitignore":         "secret/\n*.tmp\n",
		"services/web/.gitignore":     "!kept.tmp\n/rooted.cfg\nsub/deep.cfg\n*.env\n!example.env\n",
		"services/web/lib/.gitignore": "*\n!.gitignore\n!lib.py\n",
	} {
		write(t, filepath.Join(top, filepath.FromSlash(name)), content)
	}
	for _, name := range []string{
		"app.py", "x.log", "important.log", "build/x", "only-here", "private.txt", "gone.md", "doc/a.txt", "doc/in/a.txt", "cache/x", "in/cache/x",
		"logs/x", "logs/keep", "logs/in/x", "a/b", "a/x/b", "a/x/y/b", "a/x/c", "#hash", "!bang", "trail ", "blanks", "a.dat", "d.dat",
		"x.one", "xx.one", "secret/x", "kept.tmp", "lost.tmp", "rooted.cfg", "in/rooted.cfg", "sub/deep.cfg", "in/sub/deep.cfg",
		"my.env", "example.env", "lib/x.py", "lib/lib.py", "lib/in/lib.py", "in/gone.md",
	} {
		for _, dir := range []string{"", "services", "services/web"} {
			write(t, filepath.Join(top, dir, filepath.FromSlash(name)), name)
		}
	}
	for _, dir := range []string{"", "services", "services/web"} {
		want := strings.Split(git(filepath.Join(top, dir), "-c", "core.quotePath=false", "ls-files", "-z", "--others", "--exclude-standard"), "\x00")
		want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
		packed, err := packProject(filepath.Join(top, dir), "")
		if err != nil {
			t.Fatal(err)
		}
		defer packed.Close()
		got := slices.Clone(packed.names)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			var more, less []string
			for _, name := range got {
				if !slices.Contains(want, name) {
					more = append(more, name)
				}
			}
			for _, name := range want {
				if !slices.Contains(got, name) {
					less = append(less, name)
				}
			}
			t.Errorf("in %q: deploys %q, which git does not; leaves out %q", dir, more, less)
		}
	}
}

// hop3.toml has the last word; the older file counts where that says nothing.
func TestIgnoreFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		".gitignore": "dist/\n*.map\n", ".hop3ignore": "*.md\n!dist/\n", "dist/app.js": "", "dist/app.js.map": "", "README.md": "", "index.html": "",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	check := func(deprecated bool, want string) {
		t.Helper()
		packed, err := packProject(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer packed.Close()
		if got := strings.Join(packed.names, " "); got != want || packed.deprecated != deprecated {
			t.Errorf("deploys %s (deprecated: %v)\nwant    %s", got, packed.deprecated, want)
		}
	}
	check(true, ".gitignore .hop3ignore dist/app.js index.html")
	write(t, filepath.Join(dir, "hop3.toml"), "[build]\nignore = [\"!*.map\", \"!dist/\", \".hop3ignore\"]\n")
	check(false, ".gitignore README.md dist/app.js dist/app.js.map hop3.toml index.html")
}

func TestUploadBar(t *testing.T) {
	var screen bytes.Buffer
	clock := time.Unix(0, 0)
	u := &upload{in: strings.NewReader(strings.Repeat("x", 2000)), size: 2000, out: &bar{to: &screen}, now: func() time.Time {
		clock = clock.Add(60 * time.Millisecond)
		return clock
	}}
	piece := make([]byte, 500)
	for {
		if _, err := u.Read(piece); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	u.end()
	text := screen.String()
	for _, want := range []string{"\rUploading", "Uploading 500 bytes of 2.0 KB [#######.......................] 25%", "75%", "Uploaded 2.0 KB in 0."} {
		if !strings.Contains(strings.ReplaceAll(text, "\r\x1b[K", "\r"), want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("the cursor stays in the line: %q", text)
	}
	// One that is cut off leaves nothing, and nobody who does not look sees it.
	screen.Reset()
	u = &upload{in: strings.NewReader("xxxx"), size: 1000, out: &bar{to: &screen}, now: time.Now}
	_, _ = u.Read(piece)
	u.end()
	if !strings.HasSuffix(screen.String(), "\r\x1b[K") {
		t.Errorf("%q stays", screen.String())
	}
	quiet := &upload{in: strings.NewReader("x"), size: 1, now: time.Now}
	if n, err := quiet.Read(piece); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	quiet.end()
}
