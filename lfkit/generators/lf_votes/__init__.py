"""The Labeling Function Block: functions vote on generated images, Θ and Φ weigh them.

Pal & Balasubramanian, Adversarial Data Programming, CVPR 2018. The paper writes n for
the number of labeling functions and m for classes; here m and k.
"""

from lfkit.generators.lf_votes.batch_votes import BatchVotes as BatchVotes
from lfkit.generators.lf_votes.dependency_matrix import agreement as agreement
from lfkit.generators.lf_votes.dependency_matrix import algorithm_1 as algorithm_1
from lfkit.generators.lf_votes.dependency_matrix import row_stochastic as row_stochastic
from lfkit.generators.lf_votes.weighted_vote import aggregated as aggregated
from lfkit.generators.lf_votes.weighted_vote import perplexity as perplexity
