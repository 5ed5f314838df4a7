package caddymodules

import (
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
)

// maxPage is how much of an app's own error page is shown.
const maxPage = 1 << 20

// writePage answers with the app's own page in place of ours. It returns false,
// having done nothing, when there is none or it cannot be read.
func (p *policy) writePage(w http.ResponseWriter, r *http.Request, instead page) bool {
	file, ok := p.ErrorPages[instead.Status]
	if !ok || p.dir == "" {
		return false
	}
	f, err := rootedFS{}.Open(rootedPath(p.dir, "") + "/" + file)
	if err != nil {
		return false
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxPage))
	if err != nil {
		return false
	}
	kind := mime.TypeByExtension(path.Ext(file))
	if kind == "" {
		kind = "text/html; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(instead.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a visitor who left is no error
	}
	return true
}
