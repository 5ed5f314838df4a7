package caddymodules

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// rootVar is the name under which serveFile leaves the root for the file
// server.
const rootVar = "hop3_root"

const filesConfig = `{
	"fs": "hop3",
	"root": "{http.vars.hop3_root}",
	"index_names": ["index.html"],
	"precompressed": {"br": {}, "zstd": {}, "gzip": {}},
	"precompressed_order": ["br", "zstd", "gzip"]
}`

// staticFiles is Caddy's file server over the roots of all static apps.
type staticFiles struct {
	server caddyhttp.MiddlewareHandler
}

func newStaticFiles(ctx caddy.Context) (*staticFiles, error) {
	ctx.FileSystems().Register("hop3", rootedFS{})
	server, err := loadHandler(ctx, "http.handlers.file_server", filesConfig)
	return &staticFiles{server: server}, err
}

// serveFile serves a static app: the file, the directory's index, the file
// with .html added, or the app's own 404.html.
func (a *Apps) serveFile(w http.ResponseWriter, r *http.Request, root string) error {
	site := rootedPath(root, ".")
	if p := path.Clean("/" + r.URL.Path); path.Ext(p) == "" && p != "/" && !exists(site+p) && exists(site+p+".html") {
		r = withPath(r, p+".html")
	}
	return a.serveSite(w, r, site)
}

// serveSite lets Caddy's file server serve what a site has at the request's
// path.
func (a *Apps) serveSite(w http.ResponseWriter, r *http.Request, site string) error {
	caddyhttp.SetVar(r.Context(), rootVar, site)
	err := a.files.server.ServeHTTP(w, r, nil)
	var handlerErr caddyhttp.HandlerError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &handlerErr):
		return err
	case handlerErr.StatusCode == http.StatusNotFound || handlerErr.StatusCode == http.StatusForbidden:
		return a.noFile(w, r, site)
	default:
		return a.pages.write(w, r, failedPage(handlerErr.StatusCode))
	}
}

// noFile answers with the app's 404.html, or our own page.
func (a *Apps) noFile(w http.ResponseWriter, r *http.Request, site string) error {
	f, err := rootedFS{}.Open(site + "/404.html")
	if err != nil {
		return a.pages.write(w, r, pageNoFile)
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, f) // a visitor who left is no error
	}
	return nil
}

func withPath(r *http.Request, p string) *http.Request {
	changed, u := *r, *r.URL
	u.Path, u.RawPath = p, ""
	changed.URL = &u
	return &changed
}

func exists(name string) bool {
	info, err := fs.Stat(rootedFS{}, name)
	return err == nil && info != nil
}

// rootedFS is the disk as static apps may show it. A name is what rootedPath
// returns, followed by a path below that. Symbolic links cannot lead out of the
// root, and what is hidden does not exist.
type rootedFS struct{}

// rootedPath writes a root, and what is served of it, so that Open can tell
// them from what follows: Caddy's file server joins all to one path.
func rootedPath(root, dir string) string {
	root, dir = path.Clean(root), strings.Trim(path.Clean("/"+dir), "/")
	return strings.TrimSuffix("/"+strconv.Itoa(len(root))+"."+strconv.Itoa(len(dir))+root+"/"+dir, "/")
}

// Open opens a file for reading.
func (rootedFS) Open(name string) (fs.File, error) {
	root, rest, below, err := splitRooted(name)
	if err != nil {
		return nil, err
	}
	if hidden(below) {
		return nil, missing(rest)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("opening the static root: %w", err)
	}
	defer dir.Close()
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	f, err := dir.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return nil, errors.New("too many open files")
	}
	if err != nil {
		return nil, missing(rest)
	}
	if info, err := f.Stat(); err != nil || !info.IsDir() && !info.Mode().IsRegular() {
		f.Close()
		return nil, missing(rest)
	}
	return f, nil
}

// hidden reports whether a path below the root is not for visitors: what
// begins with a dot, but for .well-known, and the files that describe the app.
func hidden(rest string) bool {
	if rest == "hop3.toml" || rest == "Procfile" || rest == "app.json" {
		return true
	}
	for part := range strings.SplitSeq(rest, "/") {
		if strings.HasPrefix(part, ".") && part != "." && part != ".well-known" {
			return true
		}
	}
	return false
}

func missing(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// splitRooted takes a name apart into its root and the path below, "." for the
// root itself; below is what of it was not part of the rootedPath.
func splitRooted(name string) (root, rest, below string, err error) {
	lengths, after, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	digits, more, _ := strings.Cut(lengths, ".")
	n, err := strconv.Atoi(digits)
	m, err2 := strconv.Atoi(more)
	after = "/" + after
	if err != nil || err2 != nil || n < 1 || n > len(after) {
		return "", "", "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	rest = strings.Trim(after[n:], "/")
	if m < 0 || m > len(rest) {
		return "", "", "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	below = strings.Trim(rest[m:], "/")
	if rest == "" {
		rest = "."
	}
	return after[:n], rest, below, nil
}
