package hop3

import "context"

// Proxy sends requests to releases: the Caddy around us, or nginx or Traefik
// by files we write. It is a Caddy module in the namespace hop3.proxies.
type Proxy interface {
	// Name is the word of the server's configuration: "caddy".
	Name() string
	// Set makes r the route of r.App, atomically: a request sees the old
	// route or the new one. It returns a CodeConflict Error, having changed
	// nothing, when a host belongs to another app.
	Set(ctx context.Context, r Route) error
	// Remove takes an app's route away. Removing what is not there is no
	// error.
	Remove(ctx context.Context, app string) error
	// Drain waits until no request that went to the release is under way, or
	// ctx is done. The release must not be routed to any more.
	Drain(ctx context.Context, id ReleaseID) error
}

// Route says where the requests of an app go.
type Route struct {
	App     string
	Release int
	Hosts   []string // normalized
	// Upstreams are dial addresses in Caddy's form. With none, and no
	// StaticRoot, visitors get the page of a stopped app.
	Upstreams []string
	// Names are those of the instances behind Upstreams, in the same order:
	// "web.1". They may be left out.
	Names []string
	// StaticRoot is the absolute directory to serve when the release has no
	// process that answers HTTP.
	StaticRoot string
	// Static are files that are served before the release is asked, those
	// with the longest prefix first. What is not there is left to the release.
	Static []StaticPath
	// AllowHTTP serves plain HTTP on real domains instead of redirecting it.
	AllowHTTP bool
	// Policy is what else is done with the requests; nil for nothing. It is
	// immutable.
	Policy *HTTPPolicy
	// Canary is a release that gets a part of the requests; nil for none. With
	// one there is a Policy.
	Canary *CanaryRoute
	// Dir is the absolute directory of the release's files, in which those
	// that Policy names are.
	Dir string
	// Status says why there is no upstream: "stopped", "failed", "asleep" or
	// "". The first request for an app that is asleep wakes it.
	Status string
}

// StaticPath is a URL path that stands for a file, or for what is in a
// directory.
type StaticPath struct {
	Prefix string // begins with a slash and ends with none, but for "/" itself
	Root   string // absolute; no symbolic link leads out of it
	Path   string // below Root, with slashes; "." for Root itself
}

// ProxySwitch is a Proxy in front of which another program can stand.
type ProxySwitch interface {
	// Status tells which proxy serves and how it is.
	Status() ProxyStatus
	// Check says whether a proxy could serve all apps now, and changes nothing.
	// An error tells what speaks against it.
	Check(ctx context.Context, name string) error
	// Switch makes another proxy the one that serves, now and after the next
	// start, while all apps stay reachable. When it fails nothing has changed.
	Switch(ctx context.Context, name string) error
}

// ProxyStatus describes the proxy of a server.
type ProxyStatus struct {
	Name    string   // the chosen one
	Choices []string // the names there are
	// Running is false when the chosen program does not run, for the reason in
	// Trouble, and the server itself serves instead.
	Running bool
	Trouble string
	Program string // path of the program in front, with its version; "" for none
	Version string
	PID     int
	// Directory is where the files are that are written for the program.
	Directory string
	Apps      int // that have a route
	// Uncertified are the hosts that the program has no certificate for yet.
	Uncertified []string
}
