package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// doors is a server that strangers knock at. Whatever they bring, nothing is
// made of it, and they are told in one sentence why.
type doors struct {
	*server
	token string
}

func openDoors(t *testing.T, env ...string) *doors {
	t.Helper()
	s := startServerWith(t, env...)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	token, err := s.run(s.dir, "hop3", "admin:token", "boss")
	if err != nil {
		t.Fatal(err)
	}
	return &doors{s, strings.TrimSpace(token)}
}

// rpc calls the server as its clients do, and returns what its answer says.
func (d *doors) rpc(t *testing.T, upload []byte, args ...string) (failed bool, answer string) {
	t.Helper()
	params := map[string]any{"cli_args": args}
	if upload != nil {
		params["extra_args"] = map[string]any{"repository": base64.StdEncoding.EncodeToString(upload)}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "cli", "params": params, "id": 1})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("http://127.0.0.1:%d/rpc", d.server.rpc), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Error *struct{ Message string } }
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if parsed.Error == nil {
		return false, string(text)
	}
	return true, parsed.Error.Message
}

// inventory is all that there is of apps, in the database and on the disk.
func (d *doors) inventory(t *testing.T) []string {
	t.Helper()
	failed, apps := d.rpc(t, nil, "apps")
	if failed {
		t.Fatal(apps)
	}
	all := []string{apps}
	for _, pattern := range []string{"apps/*", "apps/.*", "apps/*/releases/*", "apps/*/log/*/*", "run/uploads/*"} {
		found, err := filepath.Glob(filepath.Join(d.home, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	for _, dir := range []string{d.dir, filepath.Dir(d.home)} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "src-") {
				all = append(all, e.Name())
			}
		}
	}
	return all
}

// unmoved checks that what a stranger brought has made nothing.
func (d *doors) unmoved(t *testing.T, before []string) {
	t.Helper()
	if after := d.inventory(t); !slices.Equal(before, after) {
		t.Errorf("there was\n%q\nnow there is\n%q", before, after)
	}
}

func tarGz(t *testing.T, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, m := range members {
		var h tar.Header
		var content string
		switch m := m.(type) {
		case tar.Header:
			h = m
		case [2]string:
			h, content = tar.Header{Typeflag: tar.TypeReg, Name: m[0], Mode: 0o644, Size: int64(len(m[1]))}, m[1]
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{w, zipped} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// gnuSparse is an archive with a file of that many bytes that are all holes,
// as GNU tar writes it.
func gnuSparse(t *testing.T, size int64) []byte {
	t.Helper()
	header := make([]byte, 512)
	copy(header, "sparse")
	copy(header[100:], "0000644\x000000000\x000000000\x00")
	copy(header[124:], "00000000000\x0000000000000\x00        S")
	copy(header[257:], "ustar  \x00")
	copy(header[483:], fmt.Sprintf("%011o\x00", size))
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for _, part := range [][]byte{header, make([]byte, 1024)} {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostileUploads uploads what no honest client would, to an app that there
// is not and to one that there is.
func TestHostileUploads(t *testing.T) {
	t.Parallel()
	d := openDoors(t, "HOP3_MAX_EXTRACTED_SIZE=8M")
	if failed, answer := d.rpc(t, tarGz(t, [2]string{"public/index.html", "hello\n"}), "deploy", "--app", "there"); failed {
		t.Fatal(answer)
	}
	many := make([]any, 50_001)
	for i := range many {
		many[i] = [2]string{"f" + strconv.Itoa(i), ""}
	}
	page := [2]string{"index.html", "hello\n"}
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	whole := tarGz(t, [2]string{"index.html", noise(1 << 10)})
	before := d.inventory(t)
	for name, tt := range map[string]struct {
		upload []byte
		says   string
	}{
		"traversal":           {tarGz(t, page, [2]string{"../../../evil", "x"}), `the path "../../../evil" has '..' in it`},
		"absolute":            {tarGz(t, page, [2]string{"/tmp/evil", "x"}), `"/tmp/evil" is an absolute path`},
		"link out":            {tarGz(t, page, link("evil", "/etc")), `the symbolic link "evil" leads out of it`},
		"link up":             {tarGz(t, page, link("a/evil", "../../x")), `the symbolic link "a/evil" leads out of it`},
		"through a link":      {tarGz(t, link("a", "."), link("b", "a/../.."), page), "leads out of it"},
		"hard link":           {tarGz(t, page, tar.Header{Typeflag: tar.TypeLink, Name: "evil", Linkname: "/etc/passwd"}), `"evil" is a hard link`},
		"device":              {tarGz(t, page, tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Devmajor: 8}), `"disk" is neither a file`},
		"pipe":                {tarGz(t, page, tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}), `"pipe" is neither a file`},
		"sparse":              {gnuSparse(t, 1<<33-1), `"sparse" is neither a file`},
		"bomb":                {tarGz(t, page, [2]string{"zeros", strings.Repeat("\x00", 9<<20)}), "its files are larger than 8 MB together"},
		"too many members":    {tarGz(t, many...), "more than 50000 files"},
		"cut off":             {whole[:len(whole)/2], "damaged or cut off"},
		"no archive":          {[]byte("hello"), "not a tar.gz"},
		"name for a terminal": {tarGz(t, page, [2]string{"a\x1b[31m/../b", "x"}), `a\x1b[31m`},
		"NUL in a Procfile":   {tarGz(t, [2]string{"Procfile", "web: x\x00y\n"}), "Procfile"},
		"wrong Procfile":      {tarGz(t, [2]string{"Procfile", "a;b: x\n"}), "Procfile"},
		"wrong hop3.toml":     {tarGz(t, page, [2]string{"hop3.toml", "[run]\nstart = [[[\n"}), "hop3.toml"},
		"unknown key":         {tarGz(t, page, [2]string{"hop3.toml", "[run]\nstrat = \"x\"\n"}), "strat"},
		"deep hop3.toml":      {tarGz(t, page, [2]string{"hop3.toml", "a = " + strings.Repeat("[", 100_000)}), "hop3.toml"},
		"wrong app.json":      {tarGz(t, page, [2]string{"app.json", "{\"env\": {\"A;B\": 1}}"}), "app.json"},
		"deep app.json":       {tarGz(t, page, [2]string{"app.json", strings.Repeat("[", 100_000)}), "app.json"},
		"huge Procfile":       {tarGz(t, page, [2]string{"Procfile", "web: " + strings.Repeat("x", 4<<20)}), "Procfile"},
	} {
		for _, app := range []string{"nowhere", "there"} {
			t.Run(name+" to "+app, func(t *testing.T) {
				failed, answer := d.rpc(t, tt.upload, "deploy", "--app", app)
				if !failed || strings.Count(answer, tt.says) == 0 || strings.Contains(answer, "internal error") || strings.Contains(answer, "\x1b") {
					t.Errorf("the answer is %.2000q", answer)
				}
				d.unmoved(t, before)
			})
		}
	}
	if code, body, err := d.get(t.Context(), "there.localhost", "/"); err != nil || code != 200 || body != "hello\n" {
		t.Errorf("what was there answers %d %q, %v", code, body, err)
	}
}

// hostileNames are no names of apps.
var hostileNames = []string{
	"..", ".", "-x", "a;b", "a b", "a\nb", "abc\n", "a\x00b", "ünïcode", "a\u202eb", "a\x1b[31mb", "../../etc", "/etc/passwd", "a/b",
	".git", "app.git.git", "", "ab", strings.Repeat("x", 64), "$(id)", "`id`", "%2e%2e", "..%2fx", "a'b", "a\"b", "C:\\x", "_abc", "abc-", "*",
}

// TestHostileNames asks for apps of impossible names at every door.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	d := openDoors(t)
	page := tarGz(t, [2]string{"index.html", "hello\n"})
	dir, err := d.repository("names", map[string]string{"index.html": "hello\n"})
	if err != nil {
		t.Fatal(err)
	}
	before := d.inventory(t)
	sane := func(t *testing.T, door, name, answer string, failed bool) {
		t.Helper()
		if !failed || answer == "" || strings.Contains(answer, "internal error") || strings.ContainsAny(answer, "\x1b\x00") {
			t.Errorf("%s of %q: %t, %q", door, name, failed, answer)
		}
	}
	for _, name := range hostileNames {
		failed, answer := d.rpc(t, page, "deploy", "--app", name)
		sane(t, "upload", name, answer, failed)
		for _, args := range [][]string{
			{"app", "create", name}, {"env", "set", "--app", name, "A=b"}, {"app", "destroy", "--app", name},
			{"app", "run", "--app", name, "--", "id"}, {"logs", "--app", name},
		} {
			failed, answer := d.rpc(t, nil, args...)
			sane(t, strings.Join(args[:2], " "), name, answer, failed)
		}
		if strings.Contains(name, "\x00") {
			continue // no program has it as an argument
		}
		if name != "" {
			out, err := d.run(dir, "git", "push", d.remote("")+"/"+name, "main")
			sane(t, "git push", name, printed(out), err != nil)
		}
		for _, line := range []string{"git-receive-pack '" + name + "'", "git-upload-pack " + name, "app create '" + name + "'", "hop3 env set --app '" + name + "' A=b"} {
			out, err := d.ssh(line)
			sane(t, "ssh", line, printed(out), err != nil)
		}
	}
	d.unmoved(t, before)
}

// printed is what a program of the client's printed: its own words may repeat
// what it was told to do as it is.
func printed(out string) string {
	var ours []string
	for line := range strings.Lines(out) {
		if _, words, ok := strings.Cut(line, "hop3: "); ok {
			ours = append(ours, words)
		} else if strings.Contains(line, "ERROR") || strings.Contains(line, "fatal") {
			ours = append(ours, strings.Map(printable, line))
		}
	}
	return strings.Join(ours, "")
}

func printable(r rune) rune {
	if r < ' ' {
		return -1
	}
	return r
}

// ssh has the server execute a line, in the words of a stock client.
func (d *doors) ssh(line string) (string, error) {
	fields := strings.Fields(d.getenv("GIT_SSH_COMMAND"))
	cmd := exec.Command(fields[0], append(fields[1:], "-p", strconv.Itoa(d.server.ssh), "hop3@127.0.0.1", line)...)
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestHostilePushes pushes repositories that no honest client makes, to an app
// that there is not.
func TestHostilePushes(t *testing.T) {
	t.Parallel()
	d := openDoors(t)
	before := d.inventory(t)
	blob := func(t *testing.T, dir, text string) string {
		return d.git(t, dir, text, "hash-object", "-w", "--stdin")
	}
	entry := func(name string) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			return d.git(t, dir, "100644 blob "+blob(t, dir, "x")+"\t"+name+"\n", "mktree", "--missing")
		}
	}
	link := func(target string) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			page := "100644 blob " + blob(t, dir, "hello\n") + "\tindex.html\n"
			return d.git(t, dir, "120000 blob "+blob(t, dir, target)+"\tevil\n"+page, "mktree")
		}
	}
	modules := func(text string) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			commit := d.git(t, dir, "", "commit-tree", "-m", "x", d.git(t, dir, "", "mktree"))
			return d.git(t, dir, "100644 blob "+blob(t, dir, text)+"\t.gitmodules\n160000 commit "+commit+"\tlib\n", "mktree", "--missing")
		}
	}
	for name, tt := range map[string]struct {
		tree func(t *testing.T, dir string) string
		says string
	}{
		".git":                     {entry(".git"), "hasDotgit"},
		".GIT":                     {entry(".GIT"), "hasDotgit"},
		"git~1":                    {entry("git~1"), "hasDotgit"},
		".git with what is unseen": {entry(".g\u200cit"), "hasDotgit"},
		"..":                       {entry(".."), "hasDotdot"},
		"link to a file":           {link("/etc/passwd"), "the symbolic link evil points to /etc/passwd, outside of the app's directory"},
		"link up":                  {link("../../../secret-key"), "the symbolic link evil points to ../../../secret-key"},
		"link for a terminal":      {link("/a\x1b[31mb"), "the symbolic link evil points to /a"},
		"submodule with options":   {modules("[submodule \"lib\"]\n\tpath = lib\n\turl = --upload-pack=touch evil\n"), "gitmodulesUrl"},
		"submodule of a path":      {modules("[submodule \"lib\"]\n\tpath = -x\n\turl = ./x\n"), "gitmodulesPath"},
		"submodule by a name":      {modules("[submodule \"../../x\"]\n\tpath = lib\n\turl = ./x\n"), "gitmodulesName"},
		"wrong Procfile": {func(t *testing.T, dir string) string {
			return d.git(t, dir, "100644 blob "+blob(t, dir, "a;b: x\n")+"\tProcfile\n", "mktree")
		}, "Invalid Procfile"},
		"bomb": {func(t *testing.T, dir string) string {
			tree := "100644 blob " + blob(t, dir, "x")
			for range 9 {
				var listing strings.Builder
				for n := range 10 {
					fmt.Fprintf(&listing, "%s\tn%d\n", tree, n)
				}
				tree = "040000 tree " + d.git(t, dir, listing.String(), "mktree")
			}
			return strings.TrimPrefix(tree, "040000 tree ")
		}, "the commit has more than 250000 files and directories"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d.git(t, dir, "", "init", "-q", "-b", "main")
			commit := d.git(t, dir, "", "commit-tree", "-m", "evil", tt.tree(t, dir))
			out, err := d.run(dir, "git", "push", d.remote("nowhere"), commit+":refs/heads/main")
			if err == nil || !strings.Contains(out, tt.says) || strings.Contains(out, "internal error") || strings.Contains(out, "\x1b[31m") {
				t.Errorf("the push said %v\n%s", err, out)
			}
			d.unmoved(t, before)
		})
	}
	t.Run("many files", d.manyFiles)
}

// manyFiles pushes a hundred thousand files, which is odd and no crime.
func (d *doors) manyFiles(t *testing.T) {
	dir := t.TempDir()
	d.git(t, dir, "", "init", "-q", "-b", "main")
	file := "100644 blob " + d.git(t, dir, "hello\n", "hash-object", "-w", "--stdin") + "\t"
	var listing, dirs strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&listing, "%sf%03d\n", file, n)
	}
	tree := d.git(t, dir, listing.String(), "mktree")
	for n := range 100 {
		fmt.Fprintf(&dirs, "040000 tree %s\td%02d\n", tree, n)
	}
	commit := d.git(t, dir, "", "commit-tree", "-m", "many", d.git(t, dir, dirs.String()+file+"index.html\n", "mktree"))
	if out, err := d.run(dir, "git", "push", d.remote("many"), commit+":refs/heads/main"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if code, body, err := d.get(t.Context(), "many.localhost", "/d99/f999"); err != nil || code != 200 || body != "hello\n" {
		t.Errorf("the last file answers %d %q, %v", code, body, err)
	}
}

// git runs git with an input and returns what it prints.
func (d *doors) git(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, d.env, strings.NewReader(input)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return strings.TrimSpace(string(out))
}
