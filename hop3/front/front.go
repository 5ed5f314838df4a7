// Package front puts another web server, nginx or Traefik, in front of ours.
//
// The program in front has the public ports and ends TLS; what it gets it
// passes on to the Caddy around us, which goes on routing by the table. So a
// deploy changes the table and reloads nothing, and whatever an app asks of
// the proxy (sleep, drain, policies) is as good behind it as without it. The
// program's files change only with hosts and certificates.
//
// The public sockets stay ours: the program inherits copies of them, and the
// kernel queues every connection once, whoever accepts it. That is why a switch
// from one proxy to another, on a live server, loses none.
package front

import (
	"context"
	"os"
	"os/exec"
	"syscall"

	"github.com/abilian/hop3/hop3"
)

// Program is a web server that can stand in front of ours. It is a Caddy module
// in the namespace hop3.proxies. Its methods are safe for concurrent use and,
// but for Find, Test, Generation and Reload, have no effects.
type Program interface {
	// Name is the word of the server's configuration: "nginx".
	Name() string
	// Find returns where the program is and its version, or a CodeUnavailable
	// error that says how to install it.
	Find(ctx context.Context) (Binary, error)
	// Refuses names what a route asks for that would not work behind the
	// program, by the names of the manifest.
	Refuses(r hop3.Route) []string
	// Files returns what configures the program, by path below p.Dir. Sites
	// are in the order of their apps.
	Files(p Place, sites []Site) (map[string][]byte, error)
	// Test has the program read the files of p.Dir and returns a CodeInvalid
	// error with its words when it refuses them. Sockets are as for Command.
	Test(ctx context.Context, b Binary, p Place, sockets []*os.File) error
	// Command starts the program in the foreground with the sockets, in the
	// order of p.Sockets, as its descriptors from 3 on.
	Command(b Binary, p Place) *exec.Cmd
	// Reload tells the process that its files have changed, and returns when
	// none of it works by those of before any more, but for what it has begun.
	Reload(ctx context.Context, pid int) error
	// Generation asks the running program for the Place.Generation of the
	// files that are in effect.
	Generation(ctx context.Context, p Place) (string, error)
	// AcceptsEarly says that the program accepts connections before it has read
	// its files.
	AcceptsEarly() bool
	// Quit is the signal by which the program ends once its requests are done.
	Quit() syscall.Signal
}

// Binary is an installed program.
type Binary struct {
	Path    string
	Version string
}

// Place is where a program works. All paths are absolute.
type Place struct {
	Dir        string   // of its files
	Work       string   // of what it writes itself
	Sockets    []Socket // the public ones
	Backend    Backend
	Status     string // address of a loopback port, or path of a socket, for Generation
	Generation string // of the files
	OpenFiles  int    // how many files and connections a process may have open
	// SameUser says that only our own user can reach Backend.Unix, because a
	// directory on the way to it is closed to others.
	SameUser bool
	// Control are the server's own hosts.
	Control Site
}

// Socket is a listening socket.
type Socket struct {
	Name    string // "http", "https" or "status"
	Address string // host:port, as the kernel tells it
}

// Backend is where our Caddy listens for the program in front.
type Backend struct {
	Unix   string // path of a socket, which every user can reach
	TCP    string // host:port on the loopback; "" for none
	Secret string // what requests there carry in SecretHeader
}

// SecretHeader tells our Caddy that a request comes from the program in front,
// whose word on the client counts.
const SecretHeader = "X-Hop3-Front"

// Site is what a program in front knows of an app.
type Site struct {
	App   string
	Hosts []string
	// Certificates are those there are, at most one for each host.
	Certificates []Certificate
	// H2C says that requests must reach us as HTTP/2.
	H2C bool
}

// Certificate is a certificate on the disk.
type Certificate struct {
	Host string
	// File is the path of a PEM file of the chain and the key: in one, they
	// always fit, whenever it is read.
	File        string
	Fingerprint string // of the file, in hexadecimal
}

// Address returns the address of the named socket; "" when there is none.
func (p Place) Address(name string) string {
	for _, s := range p.Sockets {
		if s.Name == name {
			return s.Address
		}
	}
	return ""
}

// Certificates makes certificates, as a handshake would.
type Certificates interface {
	// Certificate returns the certificate of a host and its key, in PEM. It
	// gets one, or a new one, when that is due, which can take a minute.
	Certificate(ctx context.Context, host string) (chain, key []byte, err error)
}

// Listeners are the public sockets of our own Caddy.
type Listeners interface {
	// Public returns a copy of each, by name: "http" and "https". The caller
	// closes them. They share the socket's flags with ours, and so must never
	// be made blocking, as a net.TCPListener's File does.
	Public() (map[string]*os.File, error)
	// Pause has Caddy accept nothing more on them; what it has accepted it
	// goes on serving. Resume takes that back. Neither closes the sockets.
	Pause()
	Resume() error
}
