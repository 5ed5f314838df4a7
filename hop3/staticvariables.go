package hop3

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// StaticVariables reads the variables with which apps of Hop3 (Python) had its
// proxies serve directories: NGINX_STATIC_PATHS=/static:public,/media:files,
// and the same of CADDY_ and TRAEFIK_. It returns the files or directories of
// the release by URL prefix, as a Release has them; of several, those of nginx
// win. Notes name what makes no sense and is not used.
func StaticVariables(vars Env) (static map[string]string, notes []string) {
	for _, proxy := range []string{"TRAEFIK_", "CADDY_", "NGINX_"} {
		variable := proxy + "STATIC_PATHS"
		for _, pair := range words(vars[variable]) {
			prefix, dir, _ := strings.Cut(pair, ":")
			clean, dir := path.Clean("/"+prefix), path.Clean(dir)
			if !strings.HasPrefix(prefix, "/") || strings.ContainsAny(prefix, "?#*\x00") || clean != strings.TrimSuffix(prefix, "/") && clean != prefix ||
				!fs.ValidPath(dir) || strings.ContainsRune(dir, 0) || strings.HasSuffix(pair, ":") || !strings.Contains(pair, ":") {
				notes = append(notes, fmt.Sprintf("%s is not used where it says %q: that is no URL path with a directory of the source, as /static:public", variable, shorten(pair, 80)))
				continue
			}
			put(&static, clean, dir)
		}
	}
	return static, notes
}
