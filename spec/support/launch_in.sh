#!/bin/sh
# For spec/two_hosts_spec.lua: what mpirun calls in the place of ssh, with a host and a command. The host is the network
# namespace $LATENT_SPEC_NAMESPACE, with a host name of its own.
shift
exec ip netns exec "$LATENT_SPEC_NAMESPACE" unshare --uts sh -c "hostname $LATENT_SPEC_NAMESPACE; $*"
