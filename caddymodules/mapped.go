package caddymodules

import (
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// mapped returns the file that answers a request before the app is asked: of
// the path with the longest prefix, if there is one there. What is not, is the
// app's to answer, and so is all that would change something.
func mapped(r *http.Request, route *hop3.Route) (site, name string, ok bool) {
	if len(route.Static) == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", "", false
	}
	asked := path.Clean("/" + r.URL.Path)
	for _, s := range route.Static {
		rest, in := underPrefix(s.Prefix, asked)
		if in {
			return findFile(s, rest)
		}
	}
	return "", "", false
}

// underPrefix returns what of a path follows a prefix, "" for the prefix
// itself.
func underPrefix(prefix, asked string) (rest string, ok bool) {
	if prefix == "/" {
		return strings.TrimSuffix(asked, "/"), true
	}
	rest, ok = strings.CutPrefix(asked, prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// findFile finds a file, the index of a directory, or a page written without
// its .html. A directory's name ends with a slash.
func findFile(s hop3.StaticPath, rest string) (site, name string, ok bool) {
	site = rootedPath(s.Root, s.Path)
	info, err := fs.Stat(rootedFS{}, site+rest)
	switch {
	case err == nil && info.IsDir():
		return site, rest + "/", exists(site + rest + "/index.html")
	case err == nil && rest == "": // the mapping is of one file
		return rootedPath(s.Root, path.Dir(s.Path)), "/" + path.Base(s.Path), true
	case err == nil:
		return site, rest, true
	case rest != "" && path.Ext(rest) == "" && exists(site+rest+".html"):
		return site, rest + ".html", true
	}
	return "", "", false
}

// serveMapped serves what mapped has found.
func (a *Apps) serveMapped(w http.ResponseWriter, r *http.Request, site, name string) error {
	if strings.HasSuffix(name, "/") && !strings.HasSuffix(r.URL.Path, "/") {
		to := *r.URL
		to.Scheme, to.Host, to.Path, to.RawPath = "", "", path.Clean("/"+r.URL.Path)+"/", ""
		http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
		return nil
	}
	return a.serveSite(w, withPath(r, name), site)
}
