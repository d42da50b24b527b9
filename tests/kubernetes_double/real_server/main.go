// An API server of custom resources alone: the code that a cluster validates, prunes, applies and
// watches custom resources with, on an etcd, without the kinds that come with Kubernetes.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	extensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generated "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/server"
	utilopenapi "k8s.io/apiserver/pkg/util/openapi"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	o := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	recommended := o.RecommendedOptions
	// These ask the core API, which this server does not have. CoreAPI itself must stay: without
	// it, Config panics; a kubeconfig that leads nowhere is enough.
	recommended.Authentication = nil
	recommended.Authorization = nil
	recommended.Admission = nil
	recommended.Features.EnablePriorityAndFairness = false

	flags := pflag.NewFlagSet("crdserver", pflag.ExitOnError)
	o.ServerRunOptions.AddUniversalFlags(flags)
	recommended.SecureServing.AddFlags(flags)
	recommended.CoreAPI.AddFlags(flags)
	recommended.Etcd.AddFlags(flags)
	recommended.Features.AddFlags(flags)
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if err := o.Complete(); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	config, err := o.Config()
	if err != nil {
		return err
	}
	definitions := utilopenapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(
		generated.GetOpenAPIDefinitions)
	config.GenericConfig.OpenAPIConfig = server.DefaultOpenAPIConfig(
		definitions, openapi.NewDefinitionNamer(extensions.Scheme))
	made, err := config.Complete().New(server.NewEmptyDelegate())
	if err != nil {
		return err
	}
	return made.GenericAPIServer.PrepareRun().RunWithContext(server.SetupSignalContext())
}
