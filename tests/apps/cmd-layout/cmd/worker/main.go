// A second program of the sample, to be named in a Procfile.
package main

import "fmt"

func main() {
	fmt.Println("worked")
}
