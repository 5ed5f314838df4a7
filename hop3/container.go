package hop3

import "context"

// Container is what a release needs to run as containers: the image, and what
// is to be known of it.
type Container struct {
	// Image names the image by its content: "sha256:…". What is pushed to a
	// registry later does not change what runs.
	Image string
	// Port is where what serves HTTP listens inside.
	Port int
	// WorkDir is the image's working directory, which the targets of volumes
	// are below.
	WorkDir string
	// Volumes are those that the release was deployed with.
	Volumes []Volume
}

// Mount is a directory of the host that containers find at Target.
type Mount struct {
	Name   string // of its volume
	Source string // absolute
	Target string // absolute
}

// ErrEngineAway is what an error of a ContainerEngine is when the engine does
// not answer, as while a machine starts: later it may.
var ErrEngineAway error = Errorf(CodeUnavailable, "the container engine does not answer").
	WithHint("Let the server's admin see whether it runs: systemctl status docker.")

// ContainerEngine runs containers. It is safe for concurrent use. Names are
// those of one server, which the engine tells from another server's.
type ContainerEngine interface {
	// Create makes a container, in the place of one of the same name, and
	// returns the command that starts it, passes its streams on, and ends
	// with it and its exit code.
	Create(ctx context.Context, c ContainerRun) (argv, env []string, err error)
	// Terminate asks what runs in a container to end, by the signal that its
	// image names for it. It returns an error when nothing runs there.
	Terminate(ctx context.Context, name string) error
	// Remove kills what runs in a container, removes it and returns when it
	// is gone. Removing what is not there is no error.
	Remove(ctx context.Context, name string) error
	// Exit says how the last run of a container ended: "exit status 1",
	// "signal: killed", "out of memory"; "unknown" when nobody can tell.
	Exit(ctx context.Context, name string) string
	// List returns the names of all containers there are, also of those that
	// an earlier server process made. Without an engine there are none.
	List(ctx context.Context) ([]string, error)
}

// ContainerRun is a container that is to be made.
type ContainerRun struct {
	Name    string // letters, digits, '-', '_' and '.'
	ID      ReleaseID
	Image   string
	Args    []string // in the place of the image's own command; nil for that
	Env     Env
	Port    int // inside; published as HostPort
	Host    int // the port of 127.0.0.1 that leads to Port; 0 for none
	Limits  Limits
	Mounts  []Mount
	Stdin   bool // it is read
	TTY     bool
	OneOff  bool
	Columns uint16 // of the terminal
	Rows    uint16
}

// DockerOptions is the [docker] section of the manifest.
type DockerOptions struct {
	// Image is the reference of an image that is run as it is, instead of one
	// that is built.
	Image string
	Port  int // inside; 0: what the image exposes
	// BuildArgs are the values of the Dockerfile's ARGs.
	BuildArgs map[string]string
	// IgnoreCompose says that the source's compose file is for other purposes.
	IgnoreCompose bool
}
