package nginx

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
)

var update = flag.Bool("update", false, "write the golden files")

// place is where an nginx would work.
func place(dir string) front.Place {
	return front.Place{
		Dir: dir + "/nginx", Work: dir + "/front/nginx",
		Sockets: []front.Socket{
			{Name: "http", Address: "[::]:8080"}, {Name: "https", Address: "127.0.0.1:8443"}, {Name: "status", Address: "127.0.0.1:8081"},
		},
		Backend: front.Backend{Unix: dir + "/front.sock", Secret: "secret"}, Status: "127.0.0.1:8081", Generation: "abc123", OpenFiles: 1024,
	}
}

func TestFiles(t *testing.T) {
	sites := []front.Site{
		{App: "blog", Hosts: []string{"blog.example.com", "www.example.com", "*.blog.example.com"}, Certificates: []front.Certificate{
			{Host: "blog.example.com", File: "/h/front/certificates/blog.example.com.pem", Fingerprint: "01ab"},
			{Host: "*.blog.example.com", File: "/h/front/certificates/_.blog.example.com.pem", Fingerprint: "02cd"},
		}},
		{App: "nginx", Hosts: []string{"nginx.localhost"}},
	}
	files, err := new(Nginx).Files(place("/h"), sites)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || string(want) != string(text) {
			t.Errorf("%s (%v) is now:\n%s", name, err, text)
		}
	}
	if len(files) != 3 {
		t.Errorf("there are %d files", len(files))
	}
}

// TestNginxAcceptsTheFiles has the real nginx read those of a server at all
// addresses, and refuse a file that an admin has broken.
func TestNginxAcceptsTheFiles(t *testing.T) {
	n := new(Nginx)
	binary, err := n.Find(t.Context())
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	p := place(t.TempDir())
	files, err := n.Files(p, []front.Site{
		{App: "blog", Hosts: []string{"blog.example.com", "*.blog.example.com"}}, {App: "nginx", Hosts: []string{strings.Repeat("long-label.", 22) + "test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{p.Dir, p.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.Dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Test(t.Context(), binary, p, nil); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "mine.conf"), []byte("server {\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = n.Test(t.Context(), binary, p, nil)
	if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), `unexpected end of file, expecting "}" in `+p.Dir+"/mine.conf:2") {
		t.Errorf("a broken file: %v", err)
	}
}

// TestNothingBreaksOut writes arguments of any bytes, and reads them back by
// nginx's rules: each is one token and what it was, or is refused.
func TestNothingBreaksOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(rapid.OneOf(
			rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("\"'\\;{}$# \n\ta*~"))),
		), 1, 4).Draw(t, "args")
		text, err := render([]directive{d("outer").in(d("server_name", names(args)), d("after"))})
		if err != nil {
			if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.ContainsFunc(strings.Join(args, ""), func(r rune) bool { return r < ' ' || r == 0x7f || r == '$' }) {
				t.Fatalf("%q is refused: %v", args, err)
			}
			return
		}
		want := slices.Concat([]string{"outer", "{", "server_name"}, args, []string{";", "after", ";", "}"})
		if got, err := tokens(string(text)); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q is read as %q (%v), not %q", text, got, err, want)
		}
	})
}

// TestNginxReadsWhatWeWrite has nginx itself read data of any kind.
func TestNginxReadsWhatWeWrite(t *testing.T) {
	binary, err := new(Nginx).Find(t.Context())
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOfN(rapid.RuneFrom([]rune("ab\"'\\;{}# *~^()[]|<>&%é")), 1, 40, -1).Draw(t, "value")
		text, err := render([]directive{
			d("pid", data(dir+"/pid")), d("events").in(),
			d("http").in(
				d("access_log", "off"), d("client_body_temp_path", data(dir)), d("proxy_temp_path", data(dir)),
				d("fastcgi_temp_path", data(dir)), d("uwsgi_temp_path", data(dir)), d("scgi_temp_path", data(dir)),
				d("server").in(d("listen", data("unix:"+dir+"/s")), d("return", "200", data(value))),
			),
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "c")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		// -T prints the files it has read, and says whether it understood them.
		if out, err := exec.CommandContext(context.Background(), binary.Path, "-T", "-q", "-p", dir, "-e", "stderr", "-c", file).CombinedOutput(); err != nil {
			t.Fatalf("nginx refuses %q: %s", text, out)
		}
	})
}

// tokens reads a configuration as ngx_conf_read_token does.
func tokens(text string) ([]string, error) {
	var all []string
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case strings.IndexByte(";{}", c) >= 0:
			all = append(all, string(c))
			i++
		default:
			token, n, err := token(text[i:])
			if err != nil {
				return nil, err
			}
			all = append(all, token)
			i += n
		}
	}
	return all, nil
}

// token reads one argument and returns how many bytes it had.
func token(text string) (string, int, error) {
	quote := byte(0)
	i := 0
	if text[0] == '"' || text[0] == '\'' {
		quote, i = text[0], 1
	}
	var out strings.Builder
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			switch next := text[i]; next {
			case '"', '\'', '\\':
				out.WriteByte(next)
			case 't':
				out.WriteByte('\t')
			case 'r':
				out.WriteByte('\r')
			case 'n':
				out.WriteByte('\n')
			default:
				out.WriteByte('\\')
				out.WriteByte(next)
			}
		case quote != 0 && c == quote:
			if i+1 < len(text) && strings.IndexByte(" \t\r\n;{)", text[i+1]) < 0 {
				return "", 0, errors.New("something follows a quote")
			}
			return out.String(), i + 1, nil
		case quote == 0 && strings.IndexByte(" \t\r\n;{", c) >= 0:
			return out.String(), i, nil
		default:
			out.WriteByte(c)
		}
	}
	return "", 0, errors.New("it ends in a token")
}
