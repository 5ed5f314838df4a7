package platform

import (
	"cmp"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// staticPaths are the files of a release that are served before it is asked.
// What lies in a volume on the disk is served from there: all else is below
// the release's directory.
func (p *Platform) staticPaths(r hop3.Release) []hop3.StaticPath {
	var all []hop3.StaticPath
	static := staticOf(r)
	for _, prefix := range slices.Sorted(maps.Keys(static)) {
		s := hop3.StaticPath{Prefix: prefix, Root: p.releaseDir(r.App, r.Build), Path: static[prefix]}
		for _, v := range r.Volumes {
			if rest, in := strings.CutPrefix(s.Path+"/", v.Target+"/"); in && !v.Mounted() {
				s.Root, s.Path = filepath.Join(p.volumesDir(r.App), v.Name), cmp.Or(strings.TrimSuffix(rest, "/"), ".")
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b hop3.StaticPath) int { return cmp.Compare(len(b.Prefix), len(a.Prefix)) })
	return all
}

// staticOf returns what a release declares, and what its variables say beside
// that.
func staticOf(r hop3.Release) map[string]string {
	static, _ := hop3.StaticVariables(r.Env)
	if static == nil {
		return r.Static
	}
	maps.Copy(static, r.Static)
	return static
}

// tellStatic says which paths the server answers itself, and of which there is
// nothing in the release.
func (p *Platform) tellStatic(out hop3.Output, r hop3.Release) {
	static := staticOf(r)
	for _, s := range p.staticPaths(r) {
		root, err := p.Files.Open(s.Root)
		if err == nil {
			_, err = fs.Stat(root, s.Path)
		}
		if err != nil {
			tell(out, 1, "yellow", "       Warning: %s is to be served from %s, which the release does not have", s.Prefix, static[s.Prefix])
			continue
		}
		say(out, "       %s is served from %s", s.Prefix, static[s.Prefix])
	}
}
